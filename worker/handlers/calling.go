package handlers

import (
	"encoding/json"
	"fmt"

	"flowgate/messages"
)

func encodeCalling(c *messages.Calling) ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding a call: %w", err)
	}
	return data, nil
}
