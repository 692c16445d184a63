package private

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// refusePlacement names every setting that the launcher decides alone, because it must find the server again.
func refusePlacement(settings map[string]string) []error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		switch strings.ToLower(name) {
		case "listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions", "data_directory",
			"external_pid_file", "hba_file", "config_file", "log_destination", "logging_collector":
			faults = append(faults, fmt.Errorf("private postgres: the setting %s is decided by the launcher: leave it out", name))
		}
	}
	return faults
}

// arguments returns the server's command line. Its settings win over those in files of the data folder.
func arguments(place folder, opts Options) []string {
	settings := tuning()
	if !opts.Durable {
		maps.Copy(settings, volatile())
	}
	maps.Copy(settings, opts.Settings)
	maps.Copy(settings, placement(place))
	args := []string{"-D", place.data()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

func placement(place folder) map[string]string {
	return map[string]string{
		"listen_addresses": "",
		"port":             port,
		// The value is a list, so the path is quoted.
		"unix_socket_directories": `"` + strings.ReplaceAll(place.socket, `"`, `""`) + `"`,
		"unix_socket_permissions": "0700",
		"log_destination":         "stderr",
		"logging_collector":       "off",
	}
}

// tuning is for a small machine that the server shares with broker and workers.
func tuning() map[string]string {
	return map[string]string{
		"shared_buffers":  "128MB",
		"max_connections": "60",
		// Planning pays for compilation and the queries are short.
		"jit": "off",
		// The cores are shared, and parallel workers want more shared memory than containers have.
		"max_parallel_workers_per_gather": "0",
		"synchronous_commit":              "on",
		"max_wal_size":                    "1GB",
		"checkpoint_timeout":              "15min",
		"random_page_cost":                "1.1",
		// The one time zone that the server knows without the machine's tzdata.
		"timezone":        "GMT",
		"log_timezone":    "GMT",
		"log_line_prefix": "%m [%p] ",
		"log_checkpoints": "off",
		// Statements and the details of errors hold personal data, which has no place in a log.
		"log_min_error_statement": "panic",
		"log_error_verbosity":     "terse",
	}
}

// volatile loses the data in a power cut and is for tests.
func volatile() map[string]string {
	return map[string]string{
		"fsync":              "off",
		"synchronous_commit": "off",
		"full_page_writes":   "off",
		"wal_level":          "minimal",
		"max_wal_senders":    "0",
	}
}
