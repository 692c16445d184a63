package fleet

import "time"

// Hear is what becomes of one answer.
func Hear(data []byte) (f Fleet) {
	f.hear(data, time.Now(), time.Now())
	return f
}
