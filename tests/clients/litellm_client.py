import feature
import litellm

where = {"api_base": feature.BASE_URL, "api_key": feature.API_KEY}
user = {"role": "user", "content": feature.QUESTION}
chat_model = f"openai/{feature.CHAT_MODEL}"


def chat() -> None:
    answer = litellm.completion(model=chat_model, messages=[user], max_tokens=20, **where)
    feature.told(answer.choices[0].message.content)


def stream() -> None:
    pieces = litellm.completion(model=chat_model, messages=[user], max_tokens=20, stream=True, **where)
    feature.streamed([piece.choices[0].delta.content for piece in pieces if piece.choices[0].delta.content])


def history() -> None:
    first = litellm.completion(model=chat_model, messages=[user], max_tokens=20, **where).choices[0].message
    turns = [user, first.model_dump(), {"role": "user", "content": feature.FOLLOW_UP}]
    feature.told(
        litellm.completion(model=chat_model, messages=turns, max_tokens=20, **where).choices[0].message.content
    )


def embeddings() -> None:
    answer = litellm.embedding(model=f"openai/{feature.EMBEDDING_MODEL}", input=feature.INPUTS, **where)
    feature.embedded([one["embedding"] for one in answer.data])


def completion() -> None:
    model = f"text-completion-openai/{feature.CHAT_MODEL}"
    feature.told(litellm.text_completion(model=model, prompt=feature.BEGINNING, max_tokens=20, **where).choices[0].text)


feature.run({"chat": chat, "stream": stream, "history": history, "embeddings": embeddings, "completion": completion})
