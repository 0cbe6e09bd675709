// A signal that comes in pieces, resampled: utils/polyphase.py in JavaScript.

import { joined } from "./arrays.mjs";

const REACH = 32;
const CUTOFF = 0.95;
const KAISER_BETA = 8;

function divisorOf(a, b) {
  return b === 0 ? a : divisorOf(b, a % b);
}

function bessel0(x) {
  let sum = 1;
  for (let n = 1, term = 1; term > 1e-18 * sum; n += 1) {
    term *= (x / (2 * n)) ** 2;
    sum += term;
  }
  return sum;
}

// A low pass with a Kaiser window, 1 at 0 Hz; the cutoff in half sampling rates.
export function lowPass(reach, cutoff, beta) {
  const taps = new Float64Array(2 * reach + 1);
  for (let n = -reach; n <= reach; n += 1) {
    const angle = Math.PI * cutoff * n;
    const window = bessel0(beta * Math.sqrt(1 - (n / reach) ** 2)) / bessel0(beta);
    taps[n + reach] = (n === 0 ? 1 : Math.sin(angle) / angle) * window;
  }
  const sum = taps.reduce((a, b) => a + b);
  return taps.map((tap) => tap / sum);
}

export class PolyphaseResampler {
  constructor(fromRate, toRate) {
    const divisor = divisorOf(fromRate, toRate);
    this.up = toRate / divisor;
    this.down = fromRate / divisor;
    this.reach = 0;
    if (this.up !== this.down) this.design();
    this.reset();
  }

  design() {
    const most = Math.max(this.up, this.down);
    this.reach = Math.ceil((REACH * most) / this.down) * this.down;
    const taps = lowPass(this.reach, CUTOFF / most, KAISER_BETA);
    this.taps = Float32Array.from(taps, (tap) => this.up * tap);
  }

  // Forget the signal; the next piece is the start of another.
  reset() {
    this.waiting = new Float32Array(0);
    this.start = 0; // how many samples came before those that wait
    this.received = this.returned = 0;
  }

  // Resample the next piece.
  process(piece) {
    this.received += piece.length;
    return this.filtered(piece);
  }

  // End the signal, and reset; gives what is left of it.
  flush() {
    const left = Math.ceil((this.received * this.up) / this.down) - this.returned;
    const zeros = new Float32Array(Math.floor(this.reach / this.up) + this.down + 1);
    const rest = this.filtered(zeros).slice(0, left);
    this.reset();
    return rest;
  }

  filtered(piece) {
    const { up, down, reach } = this;
    if (up === down) {
      this.returned += piece.length;
      return piece;
    }
    this.waiting = joined(this.waiting, piece);
    const samples = this.start + this.waiting.length;
    const ready = Math.max(Math.ceil((samples * up - reach) / down), this.returned);
    const signal = new Float32Array(ready - this.returned);
    for (let n = 0; n < signal.length; n += 1) signal[n] = this.sample(this.returned + n);
    this.returned = ready;
    const start = Math.max(Math.ceil((ready * down - reach) / up), this.start);
    this.waiting = this.waiting.slice(start - this.start);
    this.start = start;
    return signal;
  }

  // Sample number `index` of the result: all taps that meet a sample of the signal.
  sample(index) {
    const { up, down, reach, start, waiting, taps } = this;
    const place = index * down;
    const first = Math.max(Math.ceil((place - reach) / up), start);
    const last = Math.min(Math.floor((place + reach) / up), start + waiting.length - 1);
    let sum = 0;
    for (let n = first; n <= last; n += 1) sum += waiting[n - start] * taps[place - n * up + reach];
    return sum;
  }
}
