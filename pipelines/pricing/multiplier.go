package pricing

import (
	"fmt"

	"flowgate/messages"
)

// MaxPercent is the highest multiplier that a row may have.
const MaxPercent = 1000

// Multipliers are what calls cost that are not billed as the list says, in percent of what it says; 0: the row has none of that kind.
// Those of several kinds multiply.
type Multipliers struct {
	// Batch is of what a batch job of the provider answered.
	Batch int64 `json:"batch,omitempty"`
	// Flex and Priority are service tiers.
	Flex     int64 `json:"flex,omitempty"`
	Priority int64 `json:"priority,omitempty"`
	// InferenceGeoUS is of what is computed in the United States because request or account demand it.
	InferenceGeoUS int64 `json:"inference_geo_us,omitempty"`
}

// factor is a product of three percentages: of the batch, the service tier and the place.
type factor uint64

// list is the factor of what the list says.
const list factor = 100 * 100 * 100

// BillMultiplier is one that a call is billed with.
type BillMultiplier struct {
	Name    string `json:"name"`
	Percent int64  `json:"percent"`
}

// chosen are the multipliers of a call; false: it was billed in a way that the row says nothing of, and that may be dearer than the list.
// Capacity that was bought beforehand (scale, reserved) counts at the list price; so does a flex tier without a multiplier, which
// nowhere costs more.
func (m Multipliers) chosen(u messages.Usage) (all []BillMultiplier, told bool) {
	told = true
	add := func(name string, percent int64, must bool) {
		switch {
		case percent > 0:
			all = append(all, BillMultiplier{name, percent})
		case must:
			told = false
		}
	}
	if u.Batch {
		add("batch", m.Batch, false)
	}
	switch u.ServiceTier {
	case "", "standard", "default", "auto", "batch", "scale", "reserved":
	case "flex":
		add("flex", m.Flex, false)
	case "priority":
		add("priority", m.Priority, true)
	default:
		told = false
	}
	switch u.InferenceGeo {
	case "", "global", "not_available":
	case "us":
		add("inference_geo_us", m.InferenceGeoUS, true)
	default:
		told = false
	}
	return all, told
}

// of is the factor of a call.
func (m Multipliers) of(u messages.Usage) factor {
	f := list
	all, _ := m.chosen(u)
	for _, one := range all {
		f = f / 100 * factor(one.Percent) //nolint:gosec // from 1 to MaxPercent; each kind is there once, so that 100 divides
	}
	return f
}

// dearest is the highest factor that a call may be billed with.
func (m Multipliers) dearest() factor {
	return factor(max(100, m.Batch)) * factor(max(100, m.Flex, m.Priority)) * factor(max(100, m.InferenceGeoUS)) //nolint:gosec // from 100 to MaxPercent
}

func (m Multipliers) check() []error {
	var faults []error
	for _, p := range []struct {
		name    string
		percent int64
	}{{"batch", m.Batch}, {"flex", m.Flex}, {"priority", m.Priority}, {"inference_geo_us", m.InferenceGeoUS}} {
		if p.percent < 0 || p.percent > MaxPercent {
			faults = append(faults, fmt.Errorf("multipliers.%s: %d is not from 1 to %d percent", p.name, p.percent, int64(MaxPercent)))
		}
	}
	return faults
}

// Prices tells whether the row says what a usage costs: not where it was billed in a service tier or place that it has no multiplier for,
// nor where a model without output answered something. Such a call costs its bound.
func (r Row) Prices(u messages.Usage) bool {
	if r.Free {
		return true
	}
	_, told := r.Multipliers.chosen(u)
	return told && (!r.NoOutput || u.Output <= 0)
}
