package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Way is how connections to one host of a database's address travel.
type Way struct {
	// Host is a name, an address, or the folder of a socket.
	Host string
	// Encrypted: nothing travels in the clear. Unverified: anybody could answer.
	Encrypted, Unverified bool
	// Ends is when the client's own certificate does; zero: it has none.
	Ends time.Time
}

// Ways are those of a database's address, as connections would be made.
func Ways(url string) ([]Way, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, unreadable(err)
	}
	ways := []Way{}
	add := func(host string, t *tls.Config) {
		at := slices.IndexFunc(ways, func(w Way) bool { return w.Host == host })
		if at < 0 {
			at = len(ways)
			ways = append(ways, Way{Host: host, Encrypted: true})
		}
		w := &ways[at]
		if t == nil {
			w.Encrypted = false
			return
		}
		w.Unverified = w.Unverified || t.InsecureSkipVerify && t.VerifyPeerCertificate == nil
		for _, c := range t.Certificates {
			if leaf, err := x509.ParseCertificate(first(c.Certificate)); err == nil {
				w.Ends = leaf.NotAfter
			}
		}
	}
	add(config.Host, config.TLSConfig)
	for _, f := range config.Fallbacks {
		add(f.Host, f.TLSConfig)
	}
	return ways, nil
}

func first(chain [][]byte) []byte {
	if len(chain) == 0 {
		return nil
	}
	return chain[0]
}
