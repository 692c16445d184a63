package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/configs"
	"flowgate/pipelines/flow"
	"flowgate/pipelines/templates"
	"flowgate/worker/actions"
)

// scaffold is what new writes.
type scaffold struct {
	file, action, folder string
	golang               bool
}

// scaffoldFile is a file that is to be written where there is none.
type scaffoldFile struct {
	path string
	data []byte
}

// scaffolded is what new says with --json.
type scaffolded struct {
	Trigger string `json:"trigger"`
	File    string `json:"file"`
	// Action is the agreement's, ActionFiles have it and its test; TryWith is the command that runs that.
	Action      string   `json:"action"`
	ActionFiles []string `json:"action_files"`
	TryWith     string   `json:"try_with,omitempty"`
}

func newFlowNew(g *globals) *cobra.Command {
	var s scaffold
	cmd := &cobra.Command{
		Use: "new TRIGGER", Short: "Write a file for an agreement that is to be, and for an action of its own with a test", Args: cobra.ExactArgs(1),
		Long: "Writes a file with every field of an agreement, what is optional behind a #. It is named after the trigger where --file names none;\n" +
			"one that is there is not written over. Nothing else is changed: `flowgate flow import` makes a version of the file.\n\n" +
			"With --action the agreement has that action. Where the deployment has none of that name it is written too, with a test that passes:\n" +
			"as a template of requests (NAME.yaml, in the folder of flowgate.actions_folder, else in actions) with cases that `flowgate flow test`\n" +
			"tries without a model; or, with --go and in the folder of flowgate's sources, as a Go function of package worker/actions/own, which it\n" +
			"registers there, with a test for go test.",
		Example: "  flowgate flow new \"[Board Summary]\"\n  flowgate flow new \"[Board Summary]\" --action board_summary\n" +
			"  flowgate flow new \"[Board Summary]\" --action board_summary --go",
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, g, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&s.file, "file", "", "the `file` (default: one of the trigger's name in this folder)")
	f.StringVar(&s.action, "action", "", "the `name` of the agreement's action, which is written where there is none")
	f.BoolVar(&s.golang, "go", false, "write the action in Go, into flowgate's sources")
	f.StringVar(&s.folder, "folder", "", "the `folder` of the template (default: that of flowgate.actions_folder, else actions)")
	return cmd
}

func (s *scaffold) run(cmd *cobra.Command, g *globals, trigger string) error {
	if s.action == "" && (s.golang || s.folder != "") {
		return usageError{errors.New("name the action with --action")}
	}
	if s.action != "" {
		if err := templates.CheckName(s.action); err != nil {
			return usageError{fmt.Errorf("flag --action: %w", err)}
		}
	}
	data, err := configs.ScaffoldAgreement(trigger, s.action)
	if err != nil {
		return err
	}
	named := []flow.Agreement{{Trigger: trigger, FlowEncoding: "@a#b!c@d", Action: "ask"}}
	_, err = flow.NewBook(named)
	if err = errors.Join(err, flow.CheckNames(named)); err != nil {
		return usageError{err}
	}
	if s.file == "" {
		s.file = fileOf(trigger)
	}
	done := scaffolded{Trigger: trigger, File: s.file, Action: s.action, ActionFiles: []string{}}
	files, known, err := s.actionFiles(g, &done)
	if err != nil {
		return err
	}
	if err := writeScaffolds(append([]scaffoldFile{{s.file, data}}, files...)); err != nil {
		return err
	}
	if s.golang {
		if err := registerOwn(filepath.Dir(files[0].path), s.action); err != nil {
			return err
		}
	}
	if g.json {
		return printJSON(cmd.OutOrStdout(), done)
	}
	return s.tell(cmd.OutOrStdout(), g, done, known)
}

// actionFiles are those of the action, where there is none of the name; known is what is there.
func (s *scaffold) actionFiles(g *globals, done *scaffolded) (files []scaffoldFile, known string, err error) {
	if s.action == "" {
		return nil, "", nil
	}
	catalog, err := g.catalog()
	if err != nil {
		return nil, "", err
	}
	if at := slices.IndexFunc(catalog, func(a actions.About) bool { return a.Name == s.action }); at >= 0 {
		if known = string(catalog[at].Kind); s.golang || s.folder != "" {
			return nil, "", usageError{fmt.Errorf("the action %s is there already (%s): leave --go and --folder out, or choose another name", s.action, known)}
		}
		return nil, known, nil
	}
	switch {
	case s.golang:
		root, err := sourceFolder()
		if err != nil {
			return nil, "", usageError{err}
		}
		files = goScaffold(root, s.action, done.Trigger)
		done.TryWith = "go test ./" + ownFolder
	default:
		if err := s.chooseFolder(g); err != nil {
			return nil, "", err
		}
		action, cases := configs.ScaffoldAction(s.action)
		tests := filepath.Join(s.folder, s.action+configs.ActionTestSuffix)
		files = []scaffoldFile{{filepath.Join(s.folder, s.action+".yaml"), action}, {tests, cases}}
		done.TryWith = "flowgate flow test " + tests
	}
	for _, f := range files {
		done.ActionFiles = append(done.ActionFiles, f.path)
	}
	return files, "", nil
}

func (s *scaffold) chooseFolder(g *globals) error {
	settings, err := g.load()
	if err != nil {
		return err
	}
	for _, folder := range []string{settings.Flowgate.ActionsFolder, "actions"} {
		if s.folder == "" {
			s.folder = folder
		}
	}
	return nil
}

func (s *scaffold) tell(w io.Writer, g *globals, done scaffolded, known string) error {
	out := &lines{w: w}
	for _, path := range append([]string{done.File}, done.ActionFiles...) {
		out.print("written to %s\n", path)
	}
	switch {
	case known != "":
		out.print("The action %s is there already (%s)\n", done.Action, known)
	case s.golang:
		out.print("The action %s is registered in %s/own.go: build flowgate anew\n", done.Action, ownFolder)
	case done.Action != "":
		settings, err := g.load()
		if err != nil {
			return err
		}
		if settings.Flowgate.ActionsFolder == "" {
			out.print("Processes read it where their settings name the folder: flowgate.actions_folder: %s\n", s.folder)
		}
	}
	if done.TryWith != "" {
		out.print("Try it: %s\n", done.TryWith)
	}
	out.print("Fill it in, then: flowgate flow import %s --submit --reason \"…\"\n", done.File)
	return out.err
}

// fileOf names a file after a trigger.
func fileOf(trigger string) string {
	words := strings.FieldsFunc(strings.ToLower(trigger), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(words, "-")
	if name = strings.TrimRight(name[:min(len(name), 80)], "-"); name == "" {
		name = "agreement"
	}
	return name + ".yaml"
}

// writeScaffolds writes files, none where one is there.
func writeScaffolds(files []scaffoldFile) error {
	for _, f := range files {
		switch _, err := os.Lstat(f.path); {
		case err == nil:
			return fmt.Errorf("%s is there already: it is not written over; name another one", f.path)
		case !errors.Is(err, fs.ErrNotExist):
			return usageError{err}
		}
	}
	for i, f := range files {
		if i > 0 {
			if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil { //nolint:gosec // the caller's own folder, for others to read
				return usageError{err}
			}
		}
		if err := writeScaffold(f.path, f.data); err != nil {
			return err
		}
	}
	return nil
}

// writeScaffold writes a file that is not there.
func writeScaffold(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // the caller's own file, for others to read
	if err != nil {
		return usageError{err}
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
