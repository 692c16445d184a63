package private

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// errNoApt says why nothing can be fetched on this machine.
var errNoApt = errors.New("this needs the programs apt-get, apt-cache and dpkg-deb of Debian or Ubuntu, which this machine does not have: " +
	"install your distribution's Postgres server, or set PG_BINDIR to the folder that holds initdb and postgres")

// apt runs the distribution's own tools in a state of its own: they know the sources and check the signatures.
type apt struct{ dir string }

// newApt makes the state. What is installed on the machine is read and not touched.
func newApt(dir, settings string) (apt, error) {
	for _, program := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return apt{}, errNoApt
		}
	}
	for _, sub := range []string{"lists/partial", "archives/partial", "log", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return apt{}, fmt.Errorf("making a state for apt: %w", err)
		}
	}
	a := apt{dir: dir}
	// Hooks of the machine's own settings would write to the machine's own places.
	text := fmt.Sprintf(`#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State %[1]q;
Dir::State::lists %[2]q;
Dir::State::status "/var/lib/dpkg/status";
Dir::State::extended_states %[3]q;
Dir::Cache %[1]q;
Dir::Cache::archives %[4]q;
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log %[5]q;
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
`, dir, a.path("lists"), a.path("extended_states"), a.path("archives"), a.path("log"))
	if err := os.WriteFile(a.conf(), []byte(text+settings), 0o600); err != nil {
		return apt{}, fmt.Errorf("writing settings for apt: %w", err)
	}
	return a, nil
}

func (a apt) path(name string) string { return filepath.Join(a.dir, name) }
func (a apt) conf() string            { return a.path("apt.conf") }

// debian is a package of a plan.
type debian struct {
	name, version, arch string
	bytes               int64
}

func (d debian) String() string { return d.name + "=" + d.version }

// weight is what packages weigh together.
func weight(packages []debian) (sum int64) {
	for _, p := range packages {
		sum += p.bytes
	}
	return sum
}

// plan finds the server of the version, or the newest one, and the libraries that it needs and the machine lacks.
func (a apt) plan(ctx context.Context, major string) (server debian, packages []debian, err error) {
	// Sources that nothing of this comes from may be away; what is missing shows in the next step.
	_, away := a.run(ctx, "apt-get", "update", "-qq")
	if ctx.Err() != nil {
		return server, nil, away
	}
	name, err := a.pick(ctx, major)
	if err != nil {
		return server, nil, errors.Join(err, away)
	}
	planned, err := a.run(ctx, "apt-get", "install", "-qq", "-y", "--reinstall", "--print-uris", name)
	if err != nil {
		return server, nil, errors.Join(err, away)
	}
	packages = needed(parsePlan(planned), name)
	i := slices.IndexFunc(packages, func(p debian) bool { return p.name == name })
	if i < 0 {
		return server, nil, errors.Join(fmt.Errorf("the package sources of this machine do not offer %s any more", name), away)
	}
	if sum := weight(packages); sum > maxFetch {
		return server, nil, fmt.Errorf("the packages weigh %d MB, more than the %d MB that a fetch may: install %s instead", sum>>20, maxFetch>>20, name)
	}
	return packages[i], packages, nil
}

// pick names the server's package.
func (a apt) pick(ctx context.Context, major string) (string, error) {
	// With nothing installed, what is listed can be had from a source.
	listed, err := a.run(ctx, "apt-cache", "-o", "Dir::State::status="+os.DevNull, "search", "--names-only", `^postgresql-[0-9]+$`)
	if err != nil {
		return "", err
	}
	newest := 0
	for _, match := range regexp.MustCompile(`(?m)^postgresql-(\d+) `).FindAllStringSubmatch(listed, -1) {
		number, err := strconv.Atoi(match[1])
		if err == nil && (match[1] == major || major == "") {
			newest = max(newest, number)
		}
	}
	switch {
	case newest >= oldest:
		return fmt.Sprintf("postgresql-%d", newest), nil
	case major != "":
		return "", fmt.Errorf("the data is of Postgres %s, which the package sources of this machine do not offer: install Postgres %s, "+
			"or set PG_BINDIR to its folder", major, major)
	}
	return "", fmt.Errorf("the package sources of this machine offer no Postgres of version %d or newer", oldest)
}

// parsePlan reads lines such as
//
//	'http://host/libpq5_15.20-0%2bdeb12u1_amd64.deb' libpq5_15.20-0+deb12u1_amd64.deb 205248 SHA256:…
func parsePlan(text string) (packages []debian) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(line, "'") {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(fields[1], ".deb"), "_")
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if len(parts) != 3 || err != nil {
			continue
		}
		if version, err := url.PathUnescape(parts[1]); err == nil { // the colon of an epoch is escaped
			packages = append(packages, debian{name: parts[0], version: version, arch: parts[2], bytes: size})
		}
	}
	return packages
}

// needed leaves out what the programs can do without: clients, scripts and set-up around the server, the compiler for jit
// (which is off), and the C library, which must be the machine's own.
func needed(plan []debian, server string) (kept []debian) {
	for _, p := range plan {
		library := strings.HasPrefix(p.name, "lib") && !strings.HasPrefix(p.name, "libllvm") && !strings.HasPrefix(p.name, "libc6") &&
			!strings.HasPrefix(p.name, "libc-") && !strings.HasSuffix(p.name, "-perl") && !strings.HasPrefix(p.name, "libperl")
		if library || p.name == server {
			kept = append(kept, p)
		}
	}
	return kept
}

// unpack downloads the packages, which apt checks against the signed lists, and unpacks them into top.
func (a apt) unpack(ctx context.Context, packages []debian, top string) error {
	args := []string{"download", "-qq"}
	for _, p := range packages {
		args = append(args, p.String())
	}
	if _, err := a.run(ctx, "apt-get", args...); err != nil {
		return err
	}
	debs, err := filepath.Glob(a.path("debs/*.deb"))
	if err != nil {
		return err
	}
	if len(debs) != len(packages) {
		return fmt.Errorf("apt-get downloaded %d of %d packages", len(debs), len(packages))
	}
	if err := os.Mkdir(top, 0o755); err != nil { //nolint:gosec // for root, the server runs under another user
		return fmt.Errorf("making the folder to unpack into: %w", err)
	}
	for _, deb := range debs {
		if _, err := a.run(ctx, "dpkg-deb", "--extract", deb, top); err != nil {
			return err
		}
	}
	return nil
}

// run runs a tool in the folder of the packages and returns what it printed. No file that it writes can pass maxFetch.
func (a apt) run(ctx context.Context, tool string, args ...string) (string, error) {
	if tool != "dpkg-deb" {
		args = append([]string{"-c", a.conf()}, args...)
	}
	const blocks = maxFetch / 512
	command := exec.Command("sh", append([]string{"-c", `ulimit -f "$0" && exec "$@"`, strconv.Itoa(blocks), tool}, args...)...)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr, command.Dir = &out, &complaints, a.path("debs")
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	c, err := spawn(identity{mode: asItself}, command)
	if err == nil {
		err = c.wait(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("running %s: %w%s", tool, err, firstComplaint(complaints.String()))
	}
	return out.String(), nil
}

// firstComplaint is the first error that apt or dpkg-deb printed, as the end of an error message.
func firstComplaint(text string) string {
	for line := range strings.Lines(text) {
		if message, found := strings.CutPrefix(strings.TrimSpace(line), "E: "); found {
			return ": " + message
		}
	}
	if text = strings.TrimSpace(text); text != "" {
		return ": " + text[:min(len(text), 500)]
	}
	return ""
}

// describe looks at what was unpacked, and drops what serves jit alone.
func describe(top string, server debian, packages []debian) (manifest, error) {
	number := strings.TrimPrefix(server.name, "postgresql-")
	major, err := strconv.Atoi(number)
	if err != nil {
		return manifest{}, fmt.Errorf("reading the version of %s: %w", server.name, err)
	}
	m := manifest{Major: major, Version: server.version, Bin: filepath.Join("usr/lib/postgresql", number, "bin")}
	for _, p := range packages {
		m.Packages = append(m.Packages, p.String())
	}
	for _, pattern := range []string{"usr/lib/*-linux-*", "lib/*-linux-*", "usr/lib", "lib"} {
		found, err := filepath.Glob(filepath.Join(top, pattern, "*.so*"))
		if err != nil {
			return m, err
		}
		for _, library := range found {
			dir, err := filepath.Rel(top, filepath.Dir(library))
			if err != nil {
				return m, err
			}
			if !slices.Contains(m.Libraries, dir) {
				m.Libraries = append(m.Libraries, dir)
			}
		}
	}
	modules := filepath.Join(top, "usr/lib/postgresql", number, "lib")
	return m, errors.Join(os.RemoveAll(filepath.Join(modules, "bitcode")), os.RemoveAll(filepath.Join(modules, "llvmjit.so")))
}
