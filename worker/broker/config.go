package broker

import (
	"fmt"
	"strings"
)

// Config is the block of accounts of the configuration of a server that is not flowgate's own. It has flowgate's account, in
// which the lines of inside stand (its users), and one for each tenant. Anonymous connections are that server's affair.
func (w Walls) Config(inside ...string) string {
	var b strings.Builder
	w.Anonymous = ""
	all := w.accounts()
	fmt.Fprintf(&b, "accounts {\n  %s {\n    jetstream: enabled\n", accountFlowgate)
	for _, line := range inside {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	b.WriteString("    exports: [\n")
	for _, a := range all {
		for _, c := range a.crossings() {
			pieces := ""
			if c.pieces {
				pieces = ", response_type: stream"
			}
			fmt.Fprintf(&b, "      { %s: %q%s, accounts: [%s] }\n", c.kind(), c.subject, pieces, a.name)
		}
	}
	b.WriteString("    ]\n  }\n")
	for _, a := range all {
		a.config(&b)
	}
	b.WriteString("}\n")
	return b.String()
}

func (c crossing) kind() string {
	if c.stream {
		return "stream"
	}
	return "service"
}

func (a account) config(b *strings.Builder) {
	fmt.Fprintf(b, "  %s {\n    imports: [\n", a.name)
	for _, c := range a.crossings() {
		fmt.Fprintf(b, "      { %s: { account: %s, subject: %q } }\n", c.kind(), accountFlowgate, c.subject)
	}
	b.WriteString("    ]\n")
	if len(a.keys) > 0 {
		publish, subscribe := a.permissions()
		b.WriteString("    users: [\n")
		for _, k := range a.keys {
			fmt.Fprintf(b, "      # %s\n      { nkey: %s, permissions: {\n        publish: { allow: [%s] }\n        subscribe: { allow: [%s] } } }\n",
				k.Name, k.Public, quoted(publish), quoted(subscribe))
		}
		b.WriteString("    ]\n")
	}
	b.WriteString("  }\n")
}

func quoted(all []string) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(words, ", ")
}
