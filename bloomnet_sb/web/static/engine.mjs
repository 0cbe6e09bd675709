// Runs an exported network's parts by onnxruntime-web: OnnxEngine of onnx_stream.py in JavaScript.

const KINDS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, bool: Uint8Array };

export class Engine {
  // `ort` is onnxruntime-web, `about` what web.json says; `read` gives a file's bytes.
  static async load(ort, about, read) {
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const states = (await read("network/states.bin")).buffer;
    const sessions = {};
    for (const part of Object.keys(about.states)) {
      sessions[part] = await ort.InferenceSession.create(await read(`network/${part}.onnx`), {
        executionProviders: ["wasm"],
      });
    }
    return new Engine(ort, about, sessions, states);
  }

  constructor(ort, about, sessions, states) {
    this.ort = ort;
    this.facts = about.facts;
    this.sessions = sessions;
    this.initial = {};
    for (const [part, tensors] of Object.entries(about.states)) {
      this.initial[part] = tensors.map(({ kind, dims, offset }) => {
        const size = dims.reduce((a, b) => a * b, 1);
        return new ort.Tensor(kind, new KINDS[kind](states, offset, size), dims);
      });
    }
  }

  // What a part carries before the first frame.
  start(part) {
    return this.initial[part];
  }

  async enter(windows, frames, state) {
    const given = new this.ort.Tensor("float32", windows, [1, frames, this.facts.window]);
    const entered = await this.run("enter", [given], state);
    return {
      feature: entered.outputs.slice(0, -2),
      shared: entered.outputs.slice(-2),
      state: entered.state,
    };
  }

  async block(depth, feature, state) {
    const { outputs, state: after } = await this.run(`block${depth}`, feature, state);
    return { feature: outputs, state: after };
  }

  async decode(depth, feature, shared) {
    const { outputs } = await this.run(`decode${depth}`, [...feature, ...shared], []);
    return outputs[0].data;
  }

  async run(part, inputs, state) {
    const session = this.sessions[part];
    const given = [...inputs, ...state];
    const feeds = Object.fromEntries(session.inputNames.map((name, n) => [name, given[n]]));
    const results = await session.run(feeds);
    const outputs = session.outputNames.map((name) => results[name]);
    const count = outputs.length - state.length;
    return { outputs: outputs.slice(0, count), state: outputs.slice(count) };
  }
}
