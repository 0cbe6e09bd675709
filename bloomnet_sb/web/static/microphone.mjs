// The microphone as it is: what browsers do to it for calls is asked to be off, and checked.

const PROCESSING = ["echoCancellation", "noiseSuppression", "autoGainControl"];

export const CONSTRAINTS = {
  audio: { ...Object.fromEntries(PROCESSING.map((name) => [name, false])), channelCount: 1 },
};

// Those of the browser's own processing that the settings of a track do not say to be off.
export function stillOn(settings) {
  return PROCESSING.filter((name) => settings[name] !== false);
}

export async function openMicrophone() {
  const stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS).catch((error) => {
    throw new Error(`The microphone cannot be used: ${error.message}.`);
  });
  const settings = stream.getAudioTracks()[0].getSettings();
  return { stream, settings, still: stillOn(settings) };
}
