"""How models are asked over HTTP: one package or module for each wire format.

    read -> Question -> (the exchange's line) -> whole | events -> bytes

- `wire`: what a wire is, and the handler that all of them share. Start reading there.
- `answering`: the answer to a question: one line run to its record, and sent whole or as a stream.
- `anthropic`: chats as Anthropic's clients spell them.
- `openai`: chat, completions and embeddings as OpenAI's clients spell them.
- `texts`: rerank, classify, entities and translate, in the shapes of servers of such models.
- `hosted`: predictions of a model that the address names. `gateway`: every task of such a model.
- `dispatcher`: OpenAI's addresses of a dispatcher, and labels of texts beside them.

What a request means is not decided here: that is its task's (`tallystick_platform.tasks`, and `tallystick.tasks` of the auditor's package).
"""
