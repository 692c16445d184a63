package privacy

import (
	"strconv"
	"strings"
)

// names are the placeholders of one request: the same datum has the same one everywhere in it, and none is a word of the
// request itself.
type names struct {
	// taken are the words of the form of a placeholder in the texts.
	taken map[string]bool
	// kinds has what is known of a type.
	kinds map[Type]*kind
	// given has each datum's placeholder, data the data that may be put back.
	given map[string]string
	data  map[string]string
}

// kind is a type's label, its newest number, and whether its data may be put back.
type kind struct {
	label string
	last  int
	back  bool
}

func newNames(texts []string) names {
	n := names{
		taken: make(map[string]bool), kinds: make(map[Type]*kind), given: make(map[string]string), data: make(map[string]string),
	}
	for _, text := range texts {
		placeholders(text, func(_, _ int, name string) { n.taken[name] = true })
	}
	return n
}

// of is the placeholder of a datum.
func (n names) of(t Type, datum string, rules Rules) string {
	key := string(t) + "\x00" + datum
	if name, has := n.given[key]; has {
		return name
	}
	k := n.kinds[t]
	if k == nil {
		k = &kind{label: t.label(), back: rules.restores(t)}
		n.kinds[t] = k
	}
	for {
		k.last++
		name := "<" + k.label + "_" + strconv.Itoa(k.last) + ">"
		if n.taken[name] {
			continue
		}
		n.given[key] = name
		if k.back {
			n.data[name] = datum
		}
		return name
	}
}

// apart are names for an answer, which are those of nothing in the request.
func (n names) apart(answer string) names {
	own := newNames([]string{answer})
	for name := range n.taken {
		own.taken[name] = true
	}
	for _, name := range n.given {
		own.taken[name] = true
	}
	return own
}

// mostRestored bounds by how much an answer may grow when data are put back, in bytes: an answer of nothing but placeholders
// of long data would else be many times as large.
const mostRestored = 1 << 20

// restore puts data back in the place of their placeholders.
func (n names) restore(text string) string {
	if len(n.data) == 0 {
		return text
	}
	var b strings.Builder
	last, grown := 0, 0
	placeholders(text, func(from, to int, name string) {
		datum, ours := n.data[name]
		if grown += max(0, len(datum)-len(name)); !ours || grown > mostRestored {
			return
		}
		b.WriteString(text[last:from])
		b.WriteString(datum)
		last = to
	})
	if last == 0 {
		return text
	}
	b.WriteString(text[last:])
	return b.String()
}

// placeholders calls for each word of the form of a placeholder, such as <EMAIL_1>.
func placeholders(text string, each func(from, to int, name string)) {
	const longest = 48
	for i := 0; i < len(text); i++ {
		next := strings.IndexByte(text[i:], '<')
		if next < 0 {
			return
		}
		i += next
		digit := false
		for j := i + 1; j < len(text) && j < i+longest; j++ {
			c := text[j]
			if c == '>' && digit {
				each(i, j+1, text[i:j+1])
				i = j
				break
			}
			digit = c >= '0' && c <= '9'
			if !digit && c != '_' && (c < 'A' || c > 'Z') {
				i = j - 1
				break
			}
		}
	}
}
