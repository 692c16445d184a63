package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgate/messages"
	"flowgate/pipelines/corporate"
)

// Bounds of a file of people.
const (
	maxImportBytes  = 10 << 20
	maxImportPeople = 20_000
	maxImportFaults = 10
)

// importedPerson is a line of a file; what is nil stays as it is.
type importedPerson struct {
	User       string    `json:"user"`
	Department *string   `json:"department"`
	CostCentre *string   `json:"cost_centre"`
	Roles      *[]string `json:"roles"`
	State      *string   `json:"state"`

	line int
}

func newPeopleImport(g *globals) *cobra.Command {
	var d directing
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Add and change people by a file of CSV or JSON lines", Args: cobra.ExactArgs(1),
		Long: "Adds and changes people in one transaction; the file is checked whole before anything is changed, and nobody is removed. CSV has a\n" +
			"header with user and any of department, cost_centre, roles (with spaces between them) and state; a JSON line has the same keys,\n" +
			"roles as a list. Columns that the file has not stay as they are; who is new is active, and a producer. At most 20000 people and\n" +
			"10 MiB. - is standard input.",
		Example: "  flowgate people import people.csv --reason \"from HR of May\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			people, err := readPeople(cmd.InOrStdin(), args[0])
			if err == nil {
				err = g.recordable(people)
			}
			if err != nil {
				return err
			}
			added := 0
			changed, err := d.edit(cmd, g, func(there *corporate.Directory) ([]corporate.Entry, error) {
				added = 0
				entries := make([]corporate.Entry, len(people))
				for i, p := range people {
					old := there.Entry(corporate.EntryPerson, p.User)
					if old.Person == nil {
						added++
					}
					entries[i] = p.over(old)
					if err := entries[i].Check(); err != nil {
						return nil, usageError{fmt.Errorf("%s: line %d: %w; nothing was changed", args[0], p.line, err)}
					}
				}
				return entries, nil
			})
			if err != nil {
				return err
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), map[string]int{"people": len(people), "added": added, "changed": len(changed) - added, "as_before": len(people) - len(changed)})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d people: %d added, %d changed, %d as before\n", len(people), added, len(changed)-added, len(people)-len(changed))
			return err
		},
	}
	d.flags(cmd)
	return cmd
}

// over is a person's entry with what a line says.
func (p *importedPerson) over(e corporate.Entry) corporate.Entry {
	now := messages.Person{State: messages.PersonActive, Roles: []messages.Role{messages.RoleProducer}}
	if e.Person != nil {
		now = *e.Person
	}
	if p.Department != nil {
		now.Department = *p.Department
	}
	if p.CostCentre != nil {
		now.CostCentre = *p.CostCentre
	}
	if p.Roles != nil {
		now.Roles = rolesOf(*p.Roles)
	}
	if p.State != nil {
		now.State = messages.PersonState(*p.State)
	}
	e.Person = &now
	return e
}

// recordable refuses names that the record would not keep.
func (g *globals) recordable(people []importedPerson) error {
	check, err := g.naming()
	if err != nil {
		return err
	}
	for _, p := range people {
		if err := check(p.User); err != nil {
			return usageError{fmt.Errorf("line %d: %w", p.line, err)}
		}
	}
	return nil
}

// readPeople reads a file and checks its form. Its errors name lines.
func readPeople(stdin io.Reader, path string) ([]importedPerson, error) {
	from := stdin
	if path != "-" {
		file, err := os.Open(path) //nolint:gosec // the caller's own file
		if err != nil {
			return nil, usageError{err}
		}
		defer func() { _ = file.Close() }() // it was only read
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, maxImportBytes+1))
	if err != nil {
		return nil, usageError{fmt.Errorf("reading %s: %w", path, err)}
	}
	if len(data) > maxImportBytes {
		return nil, usageError{fmt.Errorf("%s has more than %d bytes: import it in parts", path, maxImportBytes)}
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	read := csvPeople
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		read = jsonPeople
	}
	people, faults := read(data)
	faults = append(faults, twice(people)...)
	switch {
	case len(faults) > maxImportFaults:
		faults = append(faults[:maxImportFaults], fmt.Errorf("and %d faults more", len(faults)-maxImportFaults))
	case len(faults) == 0 && len(people) == 0:
		faults = []error{errors.New("it names nobody")}
	case len(people) > maxImportPeople:
		faults = append(faults, fmt.Errorf("it has %d people, may have %d: import it in parts", len(people), maxImportPeople))
	}
	if len(faults) > 0 {
		return nil, usageError{fmt.Errorf("%s cannot be imported: %w", path, errors.Join(faults...))}
	}
	return people, nil
}

func twice(people []importedPerson) (faults []error) {
	lines := make(map[string]int, len(people))
	for _, p := range people {
		if first, has := lines[p.User]; has {
			faults = append(faults, fmt.Errorf("line %d: names the same user as line %d", p.line, first))
		}
		lines[p.User] = p.line
	}
	return faults
}

func jsonPeople(data []byte) (people []importedPerson, faults []error) {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		p := importedPerson{line: i + 1}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		err := d.Decode(&p)
		if err == nil {
			if _, more := d.Token(); !errors.Is(more, io.EOF) {
				err = errors.New("more than one document")
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", i+1, err))
			continue
		}
		people = append(people, p)
	}
	return people, faults
}

func csvPeople(data []byte) (people []importedPerson, faults []error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, []error{errors.New("it is empty: its first line, the header, must name the columns, such as user,department,roles")}
	}
	if err != nil {
		return nil, []error{fmt.Errorf("reading its header: %w", err)}
	}
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
		if !slices.Contains([]string{"user", "department", "cost_centre", "roles", "state"}, header[i]) || slices.Contains(header[:i], header[i]) {
			faults = append(faults, fmt.Errorf("line 1: column %.40q: use user, department, cost_centre, roles and state, each once", header[i]))
		}
	}
	if !slices.Contains(header, "user") {
		faults = append(faults, errors.New("line 1: the header has no column user"))
	}
	for len(faults) == 0 {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // it names its line
			return nil, []error{err}
		}
		line, _ := r.FieldPos(0)
		people = append(people, csvPerson(header, row, line))
	}
	return people, faults
}

func csvPerson(header, row []string, line int) importedPerson {
	p := importedPerson{line: line}
	for i, name := range header {
		cell := strings.TrimSpace(row[i])
		switch name {
		case "user":
			p.User = cell
		case "department":
			p.Department = &cell
		case "cost_centre":
			p.CostCentre = &cell
		case "roles":
			roles := strings.Fields(cell)
			p.Roles = &roles
		case "state":
			if cell != "" {
				p.State = &cell
			}
		}
	}
	return p
}
