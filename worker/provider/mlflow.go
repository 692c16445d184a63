package provider

import (
	"net/http"
	"time"
)

// mlflow speaks the gateway of MLflow: the document of Chat Completions or of embeddings, the model in the path.
type mlflow struct{}

func (mlflow) protocol() Protocol { return MLflow }

// admit takes the key as bearer token, or as the password of any user.
func (mlflow) admit(k *keyring, r *http.Request, _ []byte, _ time.Time) *fault {
	given := bearer(r)
	if _, password, ok := r.BasicAuth(); ok {
		given = password
	}
	if !k.takes(given) {
		return &fault{Auth, "Not authenticated"}
	}
	return nil
}

func (mlflow) read(r *http.Request, body []byte) (*question, string, *fault) {
	var embedded embeddingsDoc
	if f := decode(body, &embedded); f != nil {
		return nil, "", f
	}
	endpoint := r.PathValue("model")
	if len(embedded.Input) > 0 {
		if endpoint != "" {
			embedded.Model = endpoint
		}
		q, f := embedded.question()
		return q, "", f
	}
	var doc chatDoc
	if f := decode(body, &doc); f != nil {
		return nil, "", f
	}
	if endpoint != "" {
		doc.Model = endpoint
	}
	q, f := doc.question()
	return q, "", f
}

func (mlflow) answer(_ http.Header, q *question, a *answer) any {
	if len(q.inputs) > 0 {
		return embeddingsAnswer(q, a)
	}
	return chatAnswer(q, a)
}
