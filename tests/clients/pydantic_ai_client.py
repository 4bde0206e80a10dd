import asyncio

import feature
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=feature.BASE_URL, api_key=feature.API_KEY)
agent = Agent(OpenAIChatModel(feature.CHAT_MODEL, provider=provider), model_settings={"max_tokens": 20})


def chat() -> None:
    feature.told(agent.run_sync(feature.QUESTION).output)


def stream() -> None:
    async def pieces() -> list[str]:
        async with agent.run_stream(feature.QUESTION) as answer:
            return [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]

    feature.streamed(asyncio.run(pieces()))


def history() -> None:
    first = agent.run_sync(feature.QUESTION)
    feature.told(agent.run_sync(feature.FOLLOW_UP, message_history=first.all_messages()).output)


def embeddings() -> None:
    from pydantic_ai import Embedder
    from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel

    embedder = Embedder(OpenAIEmbeddingModel(feature.EMBEDDING_MODEL, provider=provider))
    feature.embedded(embedder.embed_documents_sync(feature.INPUTS).embeddings)


feature.run({"chat": chat, "stream": stream, "history": history, "embeddings": embeddings})
