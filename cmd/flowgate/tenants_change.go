package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/worker"
	"flowgate/worker/state"
	"flowgate/worker/tenants"
)

// credentialing is what the flags of changes of tenants say.
type credentialing struct {
	credential, out, reason, by string
	keep                        bool
}

func (c *credentialing) key(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.credential, "credential", "default", "`name` of the credential")
	cmd.Flags().StringVar(&c.out, "out", "", "write the seed into this new `file`, open to you alone, in place of printing it")
}

func newTenantsAdd(g *globals) *cobra.Command {
	var c credentialing
	cmd := &cobra.Command{
		Use: "add TENANT", Short: "Add a tenant with a credential, or another credential to it", Args: cobra.ExactArgs(1),
		Long: "Makes an nkey for the tenant and says its seed, once: it is the secret, and kept nowhere. Hand it over as a file; clients\n" +
			"take it as NATS_NKEY (flowgate), --nkey (nats) or the like. With the first tenant, connections without a credential are\n" +
			"refused, unless --keep-anonymous keeps them as producers of the tenant `" + anonymousTenant + "` alone.",
		Example: "  flowgate tenants add acme --credential loader --out acme-loader.nk\n  flowgate tenants add globex --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.give(cmd, g, args[0], func(b *tenants.Book, public string, now time.Time) error {
				if c.keep {
					b.Anonymous = anonymousTenant
				}
				return b.Add(args[0], c.credential, public, now)
			})
		},
	}
	c.key(cmd)
	cmd.Flags().BoolVar(&c.keep, "keep-anonymous", false, "let connections without a credential in, as producers of the tenant `"+anonymousTenant+"` alone")
	return cmd
}

func newTenantsRotate(g *globals) *cobra.Command {
	var c credentialing
	cmd := &cobra.Command{
		Use: "rotate TENANT", Short: "Give a credential a new secret; the old one is refused at once", Args: cobra.ExactArgs(1),
		Long: "Makes a new nkey for a credential, as `tenants add` does, and takes the old one back: connections that were made with it\n" +
			"are cut. For a change without an interruption add a second credential, move over, and suspend the first.",
		Example: "  flowgate tenants rotate acme --credential loader --out acme-loader-2.nk",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.give(cmd, g, args[0], func(b *tenants.Book, public string, now time.Time) error {
				return b.Rotate(args[0], c.credential, public, now)
			})
		},
	}
	c.key(cmd)
	return cmd
}

// given is what is said of a new secret.
type given struct {
	Tenant     string `json:"tenant"`
	Credential string `json:"credential"`
	PublicKey  string `json:"public_key"`
	// Seed is the secret, where it went into no file.
	Seed string `json:"seed,omitempty"`
	File string `json:"file,omitempty"`
	inForce
}

// inForce tells since when a change holds.
type inForce struct {
	Version uint64 `json:"version"`
	// InForce: the broker of the running process obeys it.
	InForce bool   `json:"in_force"`
	Note    string `json:"note,omitempty"`
}

// give makes a key, enters its public half into the book, and hands the seed over.
func (c *credentialing) give(cmd *cobra.Command, g *globals, tenant string, change func(*tenants.Book, string, time.Time) error) (err error) {
	if err := errors.Join(messages.CheckTenant(tenant), tenants.CheckName(c.credential)); err != nil {
		return usageError{err}
	}
	key, err := tenants.NewKey()
	if err != nil {
		return environmentError{err}
	}
	said := given{Tenant: tenant, Credential: c.credential, PublicKey: key.Public, Seed: key.Seed}
	if c.out != "" {
		if err := writeNew(c.out, key.Seed+"\n"); err != nil {
			return environmentError{err}
		}
		said.Seed, said.File = "", c.out
	}
	said.inForce, err = g.changeTenants(cmd.Context(), func(b *tenants.Book) error { return change(b, key.Public, time.Now().UTC()) })
	if err != nil {
		if c.out != "" {
			err = errors.Join(err, os.Remove(c.out))
		}
		return err
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), said)
	}
	where := "the seed, which is said only now: " + said.Seed
	if said.File != "" {
		where = "the seed is in " + said.File
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s may log in to tenant %s as %s; %s\n%s\n", said.PublicKey, tenant, c.credential, where, said.Note)
	return err
}

// writeNew writes a file that was not there, open to its owner alone.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the caller's choice
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already: name a new file with --out", path)
	}
	if err != nil {
		return fmt.Errorf("writing the seed: %w", err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the seed: %w", err), os.Remove(path))
	}
	return nil
}

func newTenantsSuspend(g *globals) *cobra.Command {
	var c credentialing
	cmd := &cobra.Command{
		Use: "suspend TENANT", Short: "Refuse a tenant, or one of its credentials, until it is resumed", Args: cobra.ExactArgs(1),
		Long: "Connections are cut and new ones refused within a second. What was accepted before goes on; `flowgate pause tenant` and\n" +
			"`flowgate cancel` are for that.",
		Example: "  flowgate tenants suspend acme --reason \"the contract has ended\"\n  flowgate tenants suspend acme --credential loader --reason \"its seed was in a log\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			why := tenants.Suspension{At: time.Now().UTC(), Reason: strings.TrimSpace(c.reason), By: whoever(c.by)}
			if why.Reason == "" {
				return usageError{errors.New("flag --reason is missing: say why")}
			}
			return c.suspend(cmd, g, args[0], "suspended", func(b *tenants.Book) error { return b.Suspend(args[0], c.credential, why) })
		},
	}
	cmd.Flags().StringVar(&c.credential, "credential", "", "`name` of the one credential that is refused (default: the whole tenant)")
	cmd.Flags().StringVar(&c.reason, "reason", "", "why (needed)")
	cmd.Flags().StringVar(&c.by, "by", "", "`name` of who asks (default: the user of this system)")
	return cmd
}

func newTenantsResume(g *globals) *cobra.Command {
	var c credentialing
	cmd := &cobra.Command{
		Use: "resume TENANT", Short: "End a suspension", Args: cobra.ExactArgs(1), Example: "  flowgate tenants resume acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.suspend(cmd, g, args[0], "active", func(b *tenants.Book) error { return b.Resume(args[0], c.credential) })
		},
	}
	cmd.Flags().StringVar(&c.credential, "credential", "", "`name` of the credential (default: the tenant's own suspension)")
	return cmd
}

func (c *credentialing) suspend(cmd *cobra.Command, g *globals, tenant, state string, change func(*tenants.Book) error) error {
	held, err := g.changeTenants(cmd.Context(), change)
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), struct {
			Tenant     string `json:"tenant"`
			Credential string `json:"credential,omitempty"`
			State      string `json:"state"`
			inForce
		}{tenant, c.credential, state, held})
	}
	whose := "tenant " + tenant
	if c.credential != "" {
		whose = "credential " + c.credential + " of tenant " + tenant
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n%s\n", whose, state, held.Note)
	return err
}

func newTenantsAnonymous(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "anonymous keep|refuse", Short: "Say what becomes of connections without a credential, beside tenants", Args: cobra.ExactArgs(1),
		Long: "keep lets them in as producers of the tenant `" + anonymousTenant + "` alone, refuse cuts them off. Without any tenant they are producers of\n" +
			"every tenant.",
		Example: "  flowgate tenants anonymous refuse",
		RunE: func(cmd *cobra.Command, args []string) error {
			to, known := map[string]string{"keep": anonymousTenant, "refuse": ""}[args[0]]
			if !known {
				return usageError{fmt.Errorf("say keep or refuse, not %q", printable(args[0]))}
			}
			var words string
			held, err := g.changeTenants(cmd.Context(), func(b *tenants.Book) error {
				b.Anonymous = to
				words = anonymity(*b)
				return nil
			})
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), struct {
					Anonymous string `json:"anonymous"`
					inForce
				}{args[0], held})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", words, held.Note)
			return err
		},
	}
}

// followPatience bounds the wait for a running process to follow; it takes a fraction of a second.
const followPatience = 5 * time.Second

// changeTenants changes the book and tells since when the change holds.
func (g *globals) changeTenants(ctx context.Context, change func(*tenants.Book) error) (inForce, error) {
	dir, err := g.tenantsDir()
	if err != nil {
		return inForce{}, err
	}
	b, err := tenants.Change(dir, change)
	var field *messages.FieldError
	switch {
	case errors.Is(err, tenants.ErrUnknown), errors.Is(err, tenants.ErrTaken), errors.Is(err, tenants.ErrFull), errors.As(err, &field):
		return inForce{}, err
	case err != nil:
		return inForce{}, environmentError{err}
	}
	held := inForce{Version: b.Version}
	ctx, cancel := context.WithTimeout(ctx, followPatience)
	defer cancel()
	for delays, round := worker.DefaultDelays(), 1; ; round++ {
		running, err := state.Read(dir)
		switch {
		case errors.Is(err, state.ErrNotReady): // it may have read the book before
		case err != nil:
			held.Note = "nothing runs in this state folder: it holds from the next `flowgate up` on; for servers of yours see `flowgate tenants config`"
			return held, nil
		case running.OperatorPassword == "":
			held.Note = "the process in this state folder works on servers of yours: give them `flowgate tenants config`"
			return held, nil
		case running.TenantsVersion >= b.Version:
			held.InForce, held.Note = true, "in force"
			return held, nil
		}
		if !delays.Pause(ctx, round) {
			return held, environmentError{fmt.Errorf("the change is kept, but the process in %s does not follow: look at its log", dir)}
		}
	}
}
