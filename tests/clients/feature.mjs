// What the JavaScript programs share; feature.py says the same for Python.
export const baseURL = process.env.CLIENT_BASE_URL;
export const apiKey = process.env.CLIENT_API_KEY;
export const chatModel = process.env.CLIENT_CHAT_MODEL;
export const embeddingModel = process.env.CLIENT_EMBEDDING_MODEL;
export const question = "Name one thing that a ledger holds.";
export const followUp = "And another one?";
export const beginning = "A ledger is";
export const inputs = ["a ledger holds records", "a cat sat on a mat"];

export function told(text) {
  if (typeof text !== "string" || !text.trim()) throw new Error(`no text: ${text}`);
}

export function streamed(pieces) {
  if (pieces.length < 2) throw new Error(`${pieces.length} pieces are no stream`);
  told(pieces.join(""));
}

export function embedded(vectors) {
  const [first, second, ...more] = vectors;
  if (!first?.length || first.length !== second?.length || more.length) throw new Error(`${vectors.length} vectors`);
  if (first.every((value, at) => value === second[at])) throw new Error("one vector for two texts");
}

export async function run(features) {
  for (const [feature, attempt] of Object.entries(features)) {
    let outcome = { feature, ok: true, detail: "" };
    try {
      await attempt();
    } catch (error) {
      console.error(error);
      outcome = { feature, ok: false, detail: `${error.name}: ${error.message}`.slice(0, 300) };
    }
    console.log(JSON.stringify(outcome));
  }
}
