package configs

import (
	"fmt"
	"os"
	"time"
)

// NATS is how a broker is reached that is not the embedded one.
type NATS struct {
	// User and Password log in, where the address does not hold them. NATS_USER and NATS_PASSWORD win over them.
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
	// CredentialsFile has JWT and seed of a user, NKeyFile the seed of an nkey. NATS_CREDS and NATS_NKEY win over them.
	CredentialsFile string `yaml:"credentials_file"`
	NKeyFile        string `yaml:"nkey_file"`
	// CAFile has the authorities to trust in place of the system's. NATS_CA wins over it.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are the client's own certificate. NATS_CERT and NATS_KEY win over them.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerConfig is the configuration file of that server, where it lies on this machine: the action security_test reads who is let in.
	ServerConfig string `yaml:"server_config"`
	// ConnectWait is how long a start waits for a broker that is not there yet; 0s to 10m.
	ConnectWait time.Duration `yaml:"connect_wait"`
}

func defaultNATS() NATS { return NATS{ConnectWait: 10 * time.Second} }

func (n NATS) validate(out *faults) {
	if n.Password.IsSet() && n.User == "" {
		out.add("flowgate.nats.user", "must be set, since there is a password")
	}
	ways := 0
	for _, way := range []string{n.User, n.CredentialsFile, n.NKeyFile} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 {
		out.add("flowgate.nats", "must have one way to log in: user and password, credentials_file or nkey_file")
	}
	if (n.CertFile == "") != (n.KeyFile == "") {
		out.add("flowgate.nats.cert_file", "must be set together with key_file")
	}
	if n.ConnectWait < 0 || n.ConnectWait > 10*time.Minute {
		out.add("flowgate.nats.connect_wait", "must be from 0s to 10m")
	}
}

// CheckFiles looks at the files that hold secrets: they are there and not open to others.
func (n NATS) CheckFiles() error {
	for _, file := range []struct{ key, path string }{
		{"credentials_file", n.CredentialsFile}, {"nkey_file", n.NKeyFile}, {"key_file", n.KeyFile},
	} {
		if file.path == "" {
			continue
		}
		info, err := os.Stat(file.path)
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is no regular file", file.path)
		}
		if err == nil {
			err = checkMode(file.path, info)
		}
		if err != nil {
			return fmt.Errorf("flowgate.nats.%s: %w", file.key, err)
		}
	}
	return nil
}
