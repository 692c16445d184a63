package postgres_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// A machine without tzdata has no zone but GMT, and Postgres refuses a session or a function that names another.
func TestMigrationsNameNoZoneOfTzdata(t *testing.T) {
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	named := regexp.MustCompile(`(?i)(?:timezone\s*(?:=|to)|time\s+zone)\s*'([^']*)'`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, zone := range named.FindAllStringSubmatch(string(text), -1) {
			if zone[1] != "GMT" {
				t.Errorf("%s names the zone %s", file, zone[1])
			}
		}
	}
}
