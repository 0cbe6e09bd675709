// The sound: all tracks of a recording run at once, and their gains say which is heard.

// What is asked for now is heard then, so that no part of a fade is missed.
const LEAD_SECONDS = 0.02;

/** The bytes of a file that is given as base64. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

/** The tracks of a recording as buffers of the context's rate. */
function decodeAll(context, tracks) {
  return Promise.all(tracks.map((track) => context.decodeAudioData(bytesOf(track.file))));
}

/** Tracks that were started together at a time, from a place in seconds. */
class Tracks {
  constructor(context, buffers, gains, time, place, loop) {
    this.gate = new GainNode(context, {gain: 0});
    this.gate.gain.setValueAtTime(0, time);
    this.gate.gain.linearRampToValueAtTime(1, time + FADE_SECONDS);
    this.gate.connect(context.destination);
    this.ramps = gains.map((gain) => ({from: gain, to: gain, start: time, end: time + FADE_SECONDS}));
    this.nodes = gains.map((gain) => {
      const node = new GainNode(context, {gain});
      node.gain.setValueAtTime(gain, time);
      node.connect(this.gate);
      return node;
    });
    this.sources = buffers.map((buffer, index) => {
      const source = new AudioBufferSourceNode(context, {buffer, loop});
      source.connect(this.nodes[index]);
      source.start(time, place);
      return source;
    });
    this.sources[0].onended = () => { this.gate.disconnect(); if (this.onended) this.onended(); };
  }

  /** Cross-fade to other gains from a time on. */
  fadeTo(gains, time) {
    this.ramps = rampsTo(gains, this.ramps, time);
    this.nodes.forEach(({gain}, index) => {
      const ramp = this.ramps[index];
      gain.cancelScheduledValues(time);
      // Also where a fade is under way: to where it would be then.
      gain.linearRampToValueAtTime(ramp.from, ramp.start);
      gain.linearRampToValueAtTime(ramp.to, ramp.end);
    });
  }

  /** Fade out from a time on, and end. */
  stop(time) {
    this.gate.gain.cancelScheduledValues(time);
    this.gate.gain.linearRampToValueAtTime(1, time);
    this.gate.gain.linearRampToValueAtTime(0, time + FADE_SECONDS);
    this.sources.forEach((source) => source.stop(time + FADE_SECONDS));
  }
}

/** Plays one recording at a time, and knows where it is. */
class Player {
  constructor(context, onEnd) {
    Object.assign(this, {context, onEnd, buffers: [], gains: [], loop: true});
    this.forget();
  }

  get playing() { return this.tracks !== null; }

  get seconds() { return this.buffers.length ? this.buffers[0].duration : 0; }

  /** The place that is heard, in seconds. */
  get place() {
    if (!this.playing) return this.from;
    const heard = this.context.currentTime - (this.context.outputLatency || 0);
    const place = this.from + Math.max(heard - this.since, 0);
    return this.loop ? place % this.seconds : Math.min(place, this.seconds);
  }

  get soon() { return this.context.currentTime + LEAD_SECONDS; }

  forget() { Object.assign(this, {tracks: null, from: 0, since: 0}); }

  load(buffers) {
    this.pause();
    this.forget();
    this.buffers = buffers;
  }

  play() {
    this.since = this.soon;
    this.tracks = new Tracks(
      this.context, this.buffers, this.gains, this.since, this.from, this.loop);
    const started = this.tracks;
    started.onended = () => {
      if (this.tracks !== started) return;
      this.forget();
      this.onEnd();
    };
  }

  pause() {
    if (!this.playing) return;
    this.from = this.place;
    this.tracks.stop(this.soon);
    this.tracks = null;
  }

  seek(place) {
    const playing = this.playing;
    this.pause();
    this.from = Math.min(Math.max(place, 0), this.seconds);
    if (playing) this.play();
  }

  repeat(loop) {
    const place = this.place;
    const playing = this.playing;
    this.pause();
    this.loop = loop;
    this.from = place;
    if (playing) this.play();
  }

  hear(gains) {
    this.gains = gains;
    if (this.playing) this.tracks.fadeTo(gains, this.soon);
  }
}
