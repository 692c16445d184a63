package flow

import (
	"testing"

	"pgregory.net/rapid"

	"flowgate/messages"
)

// TestASealProvesWhatItSealedAlone changes each part of what was sealed, also where one text ends and the next begins.
func TestASealProvesWhatItSealedAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s, other Seal
		copy(s[:], rapid.SliceOfN(rapid.Byte(), SealBytes, SealBytes).Draw(t, "seal"))
		other = s
		other[rapid.IntRange(0, SealBytes-1).Draw(t, "byte")] ^= 1
		text := rapid.StringN(1, 12, -1)
		key, trigger := messages.Key{Tenant: text.Draw(t, "tenant"), ID: text.Draw(t, "id")}, text.Draw(t, "trigger")
		part := messages.PartOf{ID: text.Draw(t, "parent"), Epoch: rapid.IntRange(0, 9).Draw(t, "epoch")}
		proved := s.Part(key, trigger, part)
		if !s.Proves(key, trigger, *proved) || proved.ID != part.ID || proved.Epoch != part.Epoch {
			t.Fatalf("%+v does not prove", proved)
		}
		if other.Proves(key, trigger, *proved) || s.Proves(key, trigger, part) {
			t.Error("another seal, or none, proves")
		}
		if name := s.Name("x", key.Tenant, key.ID); len(name) != 16 || name != s.Name("x", key.Tenant, key.ID) || name == other.Name("x", key.Tenant, key.ID) || name == s.Name("x", key.Tenant+key.ID, "") {
			t.Error("a name is not of its texts and the seal alone")
		}
		moved := key
		moved.Tenant, moved.ID = key.Tenant+key.ID[:1], key.ID[1:]
		later, elsewhere := *proved, *proved
		later.Epoch++
		elsewhere.ID += "x"
		if s.Proves(moved, trigger, *proved) || s.Proves(messages.Key{Tenant: key.Tenant, ID: key.ID + "x"}, trigger, *proved) ||
			s.Proves(key, trigger+"x", *proved) || s.Proves(key, trigger, later) || s.Proves(key, trigger, elsewhere) {
			t.Error("something else is proved")
		}
	})
}
