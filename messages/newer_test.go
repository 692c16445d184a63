package messages_test

import (
	"strconv"
	"testing"

	"flowgate/messages"
)

func TestNewerIsWhatAHigherVersionWrote(t *testing.T) {
	next := strconv.Itoa(messages.Version + 1)
	for data, want := range map[string]bool{
		`{"v":` + next + `}`:                           true,
		`{"v":` + next + `,"kind":["of another"]}`:     true, // fields of another form are no hindrance
		`{"v":` + strconv.Itoa(messages.Version) + `}`: false,
		`{}`:             false,
		`{"v":"2"}`:      false,
		`{"v":2`:         false,
		`[` + next + `]`: false,
		``:               false,
	} {
		if got := messages.Newer([]byte(data)); got != want {
			t.Errorf("%s: newer %t, want %t", data, got, want)
		}
	}
}

// TestAnEnvelopeSaysTheVersionThatWroteIt: what was read from an older version has this build's form once it is written on.
func TestAnEnvelopeSaysTheVersionThatWroteIt(t *testing.T) {
	e := &messages.Envelope{V: messages.Version - 1, Kind: messages.KindPrompt}
	data, err := messages.EncodeEnvelope(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := messages.DecodeEnvelope(data)
	if err != nil || got.V != messages.Version {
		t.Errorf("%s: %v", data, err)
	}
	if e.V != messages.Version-1 {
		t.Error("encoding changed what it was given")
	}
}
