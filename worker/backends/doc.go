// Package backends holds the backends that the runtime asks models through: the labelled offline backend (offline.go),
// everything that speaks OpenAI's Chat Completions (openai.go), such as OpenAI itself, Ollama and vLLM, Anthropic (anthropic.go),
// Amazon Bedrock (bedrock.go) and the AI gateway of MLflow (mlflow.go). None of them retries: an attempt of the runtime is one
// call, at most one of them billed.
//
// What a fault of the network or of the provider is called is decided in one place each: lost.go for calls without a whole
// answer, status.go for answers that are errors. line.go has the connections, exchange.go one call over them, whatever its protocol.
//
// Read next: openai.go, then exchange.go.
package backends
