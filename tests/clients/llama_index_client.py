import feature
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai_like import OpenAILike

where = {"api_base": feature.BASE_URL, "api_key": feature.API_KEY}
chat_model = OpenAILike(model=feature.CHAT_MODEL, is_chat_model=True, max_tokens=20, **where)
question = ChatMessage(role="user", content=feature.QUESTION)


def chat() -> None:
    feature.told(chat_model.chat([question]).message.content)


def stream() -> None:
    feature.streamed([piece.delta for piece in chat_model.stream_chat([question]) if piece.delta])


def history() -> None:
    answer = chat_model.chat([question]).message
    feature.told(
        chat_model.chat([question, answer, ChatMessage(role="user", content=feature.FOLLOW_UP)]).message.content
    )


def embeddings() -> None:
    embedder = OpenAIEmbedding(model_name=feature.EMBEDDING_MODEL, **where)
    feature.embedded(embedder.get_text_embedding_batch(feature.INPUTS))


def completion() -> None:
    model = OpenAILike(model=feature.CHAT_MODEL, is_chat_model=False, max_tokens=20, **where)
    feature.told(model.complete(feature.BEGINNING).text)


feature.run({"chat": chat, "stream": stream, "history": history, "embeddings": embeddings, "completion": completion})
