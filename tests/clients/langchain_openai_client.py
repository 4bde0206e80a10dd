import feature
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

where = {"base_url": feature.BASE_URL, "api_key": feature.API_KEY}
chat_model = ChatOpenAI(model=feature.CHAT_MODEL, max_tokens=20, **where)


def chat() -> None:
    feature.told(chat_model.invoke(feature.QUESTION).content)


def stream() -> None:
    feature.streamed([piece.content for piece in chat_model.stream(feature.QUESTION) if piece.content])


def history() -> None:
    asked = HumanMessage(feature.QUESTION)
    answer = chat_model.invoke([asked])
    feature.told(chat_model.invoke([asked, answer, HumanMessage(feature.FOLLOW_UP)]).content)


def embeddings() -> None:
    # Else it cuts texts into OpenAI's own tokens, with a vocabulary that it downloads.
    embedder = OpenAIEmbeddings(model=feature.EMBEDDING_MODEL, check_embedding_ctx_length=False, **where)
    feature.embedded(embedder.embed_documents(feature.INPUTS))


def completion() -> None:
    feature.told(OpenAI(model=feature.CHAT_MODEL, max_tokens=20, **where).invoke(feature.BEGINNING))


feature.run({"chat": chat, "stream": stream, "history": history, "embeddings": embeddings, "completion": completion})
