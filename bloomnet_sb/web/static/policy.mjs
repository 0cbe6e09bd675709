// As many blocks as keep the compute under a target: RealTime of policies.py in JavaScript.

const MOST_PATIENCE = 32;
const RETRY_SECONDS = 0.25;
const TYPICAL_LOAD = 0.95;

export class RealTime {
  constructor({ target = 0.3, quietSeconds = 2, margin = 0.8, overhead = 1 } = {}) {
    Object.assign(this, { target, quietSeconds, margin, overhead });
    this.patience = 1;
    this.restart();
  }

  // Go on from the blocks that are seen next.
  restart() {
    this.quietSince = -Infinity;
    this.overloadedAt = -Infinity;
    this.retriedAt = -Infinity;
    this.retry = null; // the blocks of before an overload that may be a hiccup
    this.addedAt = null; // a block that has not held yet
    this.loads = []; // of this number of blocks
    this.chosen = null;
  }

  // Of what was seen of a chunk: seconds, audioSeconds, blocks, numBlocks and load.
  choose(seen) {
    if (this.chosen !== seen.blocks) { // at first, or where somebody else chose since
      this.restart();
      this.quietSince = seen.seconds;
    }
    this.chosen = this.next(seen);
    return this.chosen;
  }

  next(seen) {
    if (seen.load > this.target) return this.stepDown(seen);
    this.loads.push(seen.load);
    if (this.retry !== null) return this.stepBack(seen, this.retry);
    if (this.addedAt !== null && seen.seconds - this.addedAt >= this.quietSeconds) {
      this.patience = 1;
      this.addedAt = null;
    }
    if (seen.seconds - this.quietSince < this.quietSeconds * this.patience) return seen.blocks;
    return this.stepUp(seen);
  }

  stepDown(seen) {
    const before = seen.seconds - seen.audioSeconds; // chunks may be as long as the times below
    const alone = before - Math.max(this.overloadedAt, this.retriedAt) >= this.quietSeconds;
    this.overloadedAt = seen.seconds;
    this.loads = [];
    if (alone && this.addedAt === null) {
      this.retry = seen.blocks;
    } else {
      this.retry = null;
      this.quietSince = seen.seconds;
    }
    if (this.addedAt !== null) {
      this.patience = Math.min(2 * this.patience, MOST_PATIENCE);
      this.addedAt = null;
    }
    const fitting = Math.floor((seen.blocks * this.target) / seen.load);
    return Math.max(Math.min(seen.blocks - 1, fitting), 1);
  }

  stepBack(seen, blocks) {
    if (seen.seconds - this.overloadedAt < RETRY_SECONDS) return seen.blocks;
    this.retry = null;
    this.loads = [];
    this.retriedAt = seen.seconds;
    return blocks;
  }

  stepUp(seen) {
    const sorted = [...this.loads].sort((a, b) => a - b);
    const typical = sorted[Math.floor(TYPICAL_LOAD * sorted.length)];
    const dearer = (seen.blocks + 1 + this.overhead) / (seen.blocks + this.overhead);
    this.quietSince = seen.seconds;
    this.loads = [];
    if (seen.blocks === seen.numBlocks || typical * dearer > this.margin * this.target) return seen.blocks;
    this.addedAt = seen.seconds;
    return seen.blocks + 1;
  }
}
