package configs

import "reflect"

// Fate is what becomes of a key.
type Fate string

// The fates. Whatever is not used gets a warning where a file gives it.
const (
	// Used: the key has an effect.
	Used Fate = "used"
	// Later: the key is known and checked, and has no effect yet.
	Later Fate = "later"
	// Void: the key is known from the older layout and has no meaning here.
	Void Fate = "void"
)

// fate is a key's Fate with the reason.
type fate struct {
	Fate

	why string
}

// fateOf reads a field's tags: later:"why and what for" or void:"why". A field without either is used.
func fateOf(tag reflect.StructTag) fate {
	if why, ok := tag.Lookup("later"); ok {
		return fate{Later, why}
	}
	if why, ok := tag.Lookup("void"); ok {
		return fate{Void, why}
	}
	return fate{Fate: Used}
}

// under is the fate of a key in a section of another fate: what the section has not, no key of it has.
func (f fate) under(section fate) fate {
	if section.Fate != Used {
		return section
	}
	return f
}

// warning is what whoever gives the key is told; empty for a used one.
func (f fate) warning() string {
	switch f.Fate {
	case Later:
		return "known, no effect yet: " + f.why
	case Void:
		return "known, no meaning here: " + f.why
	case Used:
	}
	return ""
}
