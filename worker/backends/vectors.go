package backends

import (
	"math"

	"flowgate/pipelines/ai"
)

// badVectors is the code of vectors that are not those that were asked for.
const badVectors = "bad_vectors"

// vectorsFault holds the vectors of an answer to being one each of the texts, all of one length, that which was asked for where one was, and
// of numbers that vectors can have. An answer that they are not was paid for and is of no use: it is in doubt.
func vectorsFault(call *ai.Call, vectors [][]float32) *ai.Fault {
	wrong := inDoubt(badVectors, "the provider's vectors are not those of the texts, one each, all of one length, that which was asked for", nil)
	if len(vectors) != len(call.Input) {
		return wrong
	}
	for _, v := range vectors {
		if len(v) == 0 || len(v) != len(vectors[0]) || call.Dimensions > 0 && len(v) != call.Dimensions {
			return wrong
		}
		for _, x := range v {
			if f := float64(x); math.IsInf(f, 0) || math.IsNaN(f) {
				return wrong
			}
		}
	}
	return nil
}
