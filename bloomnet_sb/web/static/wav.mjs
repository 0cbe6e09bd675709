// WAV files of 32-bit floats, of one channel.

export function wavOf(samples, rate) {
  const text = (string) => new TextEncoder().encode(string);
  const header = new DataView(new ArrayBuffer(58));
  const bytes = new Uint8Array(header.buffer);
  bytes.set(text("RIFF"), 0);
  header.setUint32(4, 50 + 4 * samples.length, true);
  bytes.set(text("WAVEfmt "), 8);
  header.setUint32(16, 18, true);
  header.setUint16(20, 3, true); // floats
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, 4 * rate, true);
  header.setUint16(32, 4, true);
  header.setUint16(34, 32, true);
  bytes.set(text("fact"), 38);
  header.setUint32(42, 4, true);
  header.setUint32(46, samples.length, true);
  bytes.set(text("data"), 50);
  header.setUint32(54, 4 * samples.length, true);
  return new Blob([header, samples], { type: "audio/wav" });
}
