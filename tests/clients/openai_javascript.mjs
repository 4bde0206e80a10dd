import OpenAI from "openai";
import * as feature from "./feature.mjs";

const client = new OpenAI({ baseURL: feature.baseURL, apiKey: feature.apiKey });
const user = { role: "user", content: feature.question };
const asked = { model: feature.chatModel, max_tokens: 20 };

await feature.run({
  chat: async () => feature.told((await client.chat.completions.create({ ...asked, messages: [user] })).choices[0].message.content),
  stream: async () => {
    const pieces = [];
    for await (const event of await client.chat.completions.create({ ...asked, messages: [user], stream: true })) {
      if (event.choices[0]?.delta?.content) pieces.push(event.choices[0].delta.content);
    }
    feature.streamed(pieces);
  },
  history: async () => {
    const first = (await client.chat.completions.create({ ...asked, messages: [user] })).choices[0].message;
    const messages = [user, first, { role: "user", content: feature.followUp }];
    feature.told((await client.chat.completions.create({ ...asked, messages })).choices[0].message.content);
  },
  embeddings: async () => {
    const answer = await client.embeddings.create({ model: feature.embeddingModel, input: feature.inputs });
    feature.embedded(answer.data.map((one) => one.embedding));
  },
  completion: async () =>
    feature.told((await client.completions.create({ ...asked, prompt: feature.beginning })).choices[0].text),
});
