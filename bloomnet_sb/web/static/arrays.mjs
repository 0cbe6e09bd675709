// What the other modules do with samples.

export function joined(...pieces) {
  const whole = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

// To the nearest whole number and, from half way, to the even one, as Python rounds.
export function rounded(value) {
  const below = Math.floor(value);
  const over = value - below;
  return below + (over > 0.5 || (over === 0.5 && below % 2 !== 0) ? 1 : 0);
}
