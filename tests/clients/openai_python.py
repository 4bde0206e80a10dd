import feature
from openai import OpenAI

client = OpenAI(base_url=feature.BASE_URL, api_key=feature.API_KEY)
user = {"role": "user", "content": feature.QUESTION}


def chat() -> None:
    feature.told(
        client.chat.completions.create(model=feature.CHAT_MODEL, messages=[user], max_tokens=20)
        .choices[0]
        .message.content
    )


def stream() -> None:
    events = client.chat.completions.create(
        model=feature.CHAT_MODEL, messages=[user], max_tokens=20, stream=True, stream_options={"include_usage": True}
    )
    feature.streamed(
        [event.choices[0].delta.content for event in events if event.choices and event.choices[0].delta.content]
    )


def history() -> None:
    first = client.chat.completions.create(model=feature.CHAT_MODEL, messages=[user], max_tokens=20).choices[0].message
    turns = [user, first, {"role": "user", "content": feature.FOLLOW_UP}]
    feature.told(
        client.chat.completions.create(model=feature.CHAT_MODEL, messages=turns, max_tokens=20)
        .choices[0]
        .message.content
    )


def embeddings() -> None:
    answer = client.embeddings.create(model=feature.EMBEDDING_MODEL, input=feature.INPUTS)
    feature.embedded([one.embedding for one in answer.data])


def completion() -> None:
    answer = client.completions.create(model=feature.CHAT_MODEL, prompt=feature.BEGINNING, max_tokens=20)
    feature.told(answer.choices[0].text)


feature.run({"chat": chat, "stream": stream, "history": history, "embeddings": embeddings, "completion": completion})
