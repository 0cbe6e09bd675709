// What the other modules do with samples.

// As errors.py has it
const LARGEST_SAMPLE = 1e12;

// Silence in place of NaN, infinite and absurdly large samples: a network that heard one would give
// nothing else from then on. Python's stream refuses them; here, nobody is there to be told so.
export function audible(sample) {
  return Math.abs(sample) <= LARGEST_SAMPLE ? sample : 0;
}

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
