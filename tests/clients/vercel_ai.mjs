import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, streamText } from "ai";
import * as feature from "./feature.mjs";

const where = { baseURL: feature.baseURL, apiKey: feature.apiKey };
const compatible = createOpenAICompatible({ name: "tallystick", ...where });
const openai = createOpenAI(where);
const [model, text, embedder] =
  process.argv[2] === "openai"
    ? [openai.chat(feature.chatModel), openai.completion(feature.chatModel), openai.embedding(feature.embeddingModel)]
    : [
        compatible.chatModel(feature.chatModel),
        compatible.completionModel(feature.chatModel),
        compatible.embeddingModel(feature.embeddingModel),
      ];
const asked = { maxOutputTokens: 20, maxRetries: 0 };

await feature.run({
  chat: async () => feature.told((await generateText({ model, prompt: feature.question, ...asked })).text),
  stream: async () => {
    const pieces = [];
    let failure;
    const answer = streamText({ model, prompt: feature.question, ...asked, onError: ({ error }) => (failure = error) });
    for await (const piece of answer.textStream) pieces.push(piece);
    if (failure) throw failure;
    feature.streamed(pieces);
  },
  history: async () => {
    const user = { role: "user", content: feature.question };
    const first = await generateText({ model, messages: [user], ...asked });
    const messages = [user, ...first.response.messages, { role: "user", content: feature.followUp }];
    feature.told((await generateText({ model, messages, ...asked })).text);
  },
  embeddings: async () => {
    const answer = await embedMany({ model: embedder, values: feature.inputs, maxRetries: 0 });
    feature.embedded(answer.embeddings);
  },
  completion: async () => feature.told((await generateText({ model: text, prompt: feature.beginning, ...asked })).text),
});
