package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"flowgate/configs"
)

// composeFile is as much of the format of docker-compose.yml as ours uses; anything else in it fails the test.
type composeFile struct {
	Name     string                       `yaml:"name"`
	Flowgate any                          `yaml:"x-flowgate"` //nolint:tagliatelle // the name in the format
	Once     any                          `yaml:"x-once"`     //nolint:tagliatelle // the name in the format
	Layer    any                          `yaml:"x-layer"`    //nolint:tagliatelle // the name in the format
	Worker   any                          `yaml:"x-worker"`   //nolint:tagliatelle // the name in the format
	NATS     any                          `yaml:"x-nats"`     //nolint:tagliatelle // the name in the format
	Services map[string]composeService    `yaml:"services"`
	Networks map[string]map[string]bool   `yaml:"networks"`
	Volumes  map[string]map[string]any    `yaml:"volumes"`
	Secrets  map[string]map[string]string `yaml:"secrets"`
	Configs  map[string]map[string]string `yaml:"configs"`
}

type composeService struct {
	Image       string                       `yaml:"image"`
	Build       map[string]any               `yaml:"build"`
	User        string                       `yaml:"user"`
	GroupAdd    []string                     `yaml:"group_add"`
	Restart     string                       `yaml:"restart"`
	ReadOnly    bool                         `yaml:"read_only"`
	CapDrop     []string                     `yaml:"cap_drop"`
	SecurityOpt []string                     `yaml:"security_opt"`
	ShmSize     string                       `yaml:"shm_size"`
	StopGrace   string                       `yaml:"stop_grace_period"`
	Networks    []string                     `yaml:"networks"`
	Command     []string                     `yaml:"command"`
	Environment map[string]string            `yaml:"environment"`
	EnvFile     []map[string]string          `yaml:"env_file"`
	Ports       []string                     `yaml:"ports"`
	Volumes     []string                     `yaml:"volumes"`
	Secrets     []any                        `yaml:"secrets"`
	Configs     []map[string]string          `yaml:"configs"`
	DependsOn   map[string]map[string]string `yaml:"depends_on"`
	Health      *composeHealth               `yaml:"healthcheck"`
	Deploy      struct {
		Replicas  int                          `yaml:"replicas"`
		Resources map[string]map[string]string `yaml:"resources"`
	} `yaml:"deploy"`
}

type composeHealth struct {
	Test        []string `yaml:"test"`
	Interval    string   `yaml:"interval"`
	Timeout     string   `yaml:"timeout"`
	StartPeriod string   `yaml:"start_period"`
	Retries     int      `yaml:"retries"`
	Disable     bool     `yaml:"disable"`
}

var interpolation = regexp.MustCompile(`\$\$|\$\{([A-Z_]+):-([^}]*)\}|\$`)

// readCompose reads docker-compose.yml as an engine with an empty environment does.
func readCompose(t *testing.T) composeFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	plain := interpolation.ReplaceAllStringFunc(string(text), func(found string) string {
		switch parts := interpolation.FindStringSubmatch(found); {
		case found == "$$":
			return "$"
		case parts[1] != "":
			return parts[2]
		}
		t.Errorf("a single $ without a default in docker-compose.yml")
		return found
	})
	var file composeFile
	if err := yaml.NewDecoder(strings.NewReader(plain), yaml.Strict()).Decode(&file); err != nil {
		t.Fatalf("reading docker-compose.yml: %v", err)
	}
	return file
}

// ours tells whether a service runs this program.
func (s composeService) ours() bool { return strings.HasPrefix(s.Image, "flowgate:") }

// once tells whether a service ends by itself.
func (s composeService) once() bool { return strings.HasPrefix(s.Restart, "on-failure") }

// secrets are the names of those that a service is given.
func (s composeService) secrets(t *testing.T) map[string]string {
	t.Helper()
	given := map[string]string{}
	for _, one := range s.Secrets {
		switch one := one.(type) {
		case string:
			given[one] = "/run/secrets/" + one
		case map[string]any:
			source, _ := one["source"].(string)
			target, _ := one["target"].(string)
			given[source] = target
		default:
			t.Errorf("a secret of the form %T", one)
		}
	}
	return given
}

// parses tells what is wrong with the arguments of this program.
func parses(args []string) (*cobra.Command, error) {
	cmd, rest, err := newRoot().Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err == nil {
		err = cmd.ValidateRequiredFlags()
	}
	return cmd, err
}

func TestComposeRunsCommandsThatExistWithVariablesThatAreObeyed(t *testing.T) {
	obeyed := map[string]bool{}
	for _, v := range configs.Variables() {
		for name := range strings.SplitSeq(v.Name, ", ") {
			obeyed[name], obeyed[name+"_FILE"] = true, v.Secret
		}
	}
	file := readCompose(t)
	for _, found := range regexp.MustCompile(`\$\{([A-Z0-9_]+)`).FindAllStringSubmatch(file.Configs["settings"]["content"], -1) {
		obeyed[found[1]] = true
	}
	var layers []string
	for name, s := range file.Services {
		if !s.ours() {
			continue
		}
		cmd, err := parses(s.Command)
		if err != nil || cmd.Name() == "flowgate" || cmd.Hidden {
			t.Errorf("%s runs %q: %v", name, s.Command, err)
			continue
		}
		if cmd.Name() == "worker" {
			words, err := cmd.Flags().GetStringSlice("layer")
			if err != nil {
				t.Fatal(err)
			}
			chosen, err := parseRoles(words)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			layers = append(layers, chosen.strings()...)
			if s.Deploy.Replicas < 2 {
				t.Errorf("%s has %d replicas", name, s.Deploy.Replicas)
			}
		}
		given := s.secrets(t)
		for variable, value := range s.Environment {
			if !obeyed[variable] {
				t.Errorf("%s sets %s, which nothing obeys", name, variable)
			}
			if strings.HasSuffix(variable, "_FILE") && !slices.Contains(slices.Collect(maps.Values(given)), value) {
				t.Errorf("%s: %s names %s, a secret that it is not given", name, variable, value)
			}
		}
		if len(given) != len(slices.DeleteFunc(slices.Collect(maps.Keys(s.Environment)), func(v string) bool { return !strings.HasSuffix(v, "_FILE") })) {
			t.Errorf("%s is given secrets that it does not use: %v", name, given)
		}
		if s.Health == nil || !s.Health.Disable {
			if test := s.Health.Test; len(test) < 2 || test[0] != "CMD" || test[1] != "/flowgate" {
				t.Errorf("%s has the health check %q", name, test)
			} else if _, err := parses(test[2:]); err != nil {
				t.Errorf("%s: health check: %v", name, err)
			}
		}
	}
	slices.Sort(layers)
	want := allRoles().strings()
	slices.Sort(want)
	if !slices.Equal(layers, want) {
		t.Errorf("services run %v, want %v", layers, want)
	}
}

func TestComposeRefersToWhatItDefinesAndIsHardened(t *testing.T) {
	file := readCompose(t)
	for name, s := range file.Services {
		for _, n := range s.Networks {
			if _, ok := file.Networks[n]; !ok {
				t.Errorf("%s: no network %s", name, n)
			}
		}
		for _, v := range s.Volumes {
			volume, target, ok := strings.Cut(v, ":")
			if _, known := file.Volumes[volume]; !known || !ok || !strings.HasPrefix(target, "/") {
				t.Errorf("%s: no volume %s", name, v)
			}
		}
		for secret := range s.secrets(t) {
			if file.Secrets[secret]["file"] == "" {
				t.Errorf("%s: no file for the secret %s", name, secret)
			}
		}
		for _, c := range s.Configs {
			if one := file.Configs[c["source"]]; one["content"]+one["file"] == "" || !strings.HasPrefix(c["target"], "/") {
				t.Errorf("%s: no config %v", name, c)
			}
		}
		for on, how := range s.DependsOn {
			target, known := file.Services[on]
			healthy := target.Health != nil && len(target.Health.Test) > 0
			if !known || how["condition"] == "service_healthy" && !healthy || how["condition"] == "service_completed_successfully" && !target.once() {
				t.Errorf("%s cannot wait for %s: %v", name, on, how)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s beyond this machine", name, p)
			}
		}
		if s.Restart == "" || len(s.CapDrop) == 0 || len(s.SecurityOpt) == 0 {
			t.Errorf("%s has no restart policy or is not hardened", name)
		}
		if !s.once() && (s.Deploy.Resources["limits"]["memory"] == "" || s.Health == nil) {
			t.Errorf("%s has no limits or no health check", name)
		}
	}
}

func TestTheImageHasNoShellAndNeedsNoRoot(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var stages, lines []string
	last := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "FROM":
			stages, last = append(stages, rest), map[string]string{}
		case "RUN", "ENTRYPOINT", "CMD":
			if !strings.HasPrefix(rest, "[") {
				t.Errorf("%s needs a shell", line)
			}
		case "COPY":
			sources := strings.Fields(rest)
			if strings.HasPrefix(sources[0], "--from=") {
				break
			}
			for _, source := range sources[:len(sources)-1] {
				if _, err := os.Stat(filepath.Join(root(t), source)); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
		case "WORKDIR", "ARG", "ENV", "USER":
		default:
			t.Errorf("%s: what is that?", line)
		}
		last[word] = rest
	}
	if len(stages) != 2 || !strings.HasSuffix(stages[0], " AS build") || !strings.Contains(stages[1], "distroless/static") {
		t.Errorf("stages %q", stages)
	}
	if last["RUN"] != "" || last["USER"] != "65532:65532" || last["ENTRYPOINT"] != `["/flowgate"]` {
		t.Errorf("the last stage is %q", last)
	}
	module, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	if stages[0] != "golang:"+string(version[1])+" AS build" {
		t.Errorf("%s does not fit go %s of go.mod", stages[0], version[1])
	}
	server := regexp.MustCompile(`nats-server/v2 v(\d+\.\d+)`).FindSubmatch(module)
	if image := readCompose(t).Services["nats-1"].Image; image != "nats:"+string(server[1])+"-alpine" {
		t.Errorf("%s does not fit nats-server %s of go.mod", image, server[1])
	}
}
