package configs

import (
	"slices"
	"strings"
)

// Logging is the user's section of that name: what a process that serves logs, and where. -v logs everything.
type Logging struct {
	// Level is DEBUG, INFO, WARNING, ERROR or CRITICAL: what is below it is left out.
	Level   string     `yaml:"level"`
	File    LogFile    `yaml:"file"`
	Console LogConsole `yaml:"console"`
}

// LogFile is a log that is kept in files of limited size.
type LogFile struct {
	Enabled bool `yaml:"enabled"`
	// Path is the file; one that is not absolute is in the state folder of the process.
	Path string `yaml:"path"`
	// MaxSizeMB is when the file is renamed and a new one begun, in MiB; 1 to 10240.
	MaxSizeMB int `yaml:"max_size_mb"`
	// BackupCount is how many of the renamed are kept; 1 to 1000.
	BackupCount int `yaml:"backup_count"`
}

// LogConsole is the log on standard error.
type LogConsole struct {
	Enabled bool `yaml:"enabled"`
}

// LogLevels are the levels, least first.
func LogLevels() []string { return []string{"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"} }

func defaultLogging() Logging {
	return Logging{
		Level: "WARNING", Console: LogConsole{Enabled: true}, File: LogFile{Path: "flowgate.log", MaxSizeMB: 10, BackupCount: 5},
	}
}

func (l Logging) validate(out *faults) {
	if !slices.Contains(LogLevels(), strings.ToUpper(l.Level)) {
		out.add("logging.level", "must be one of %s", strings.Join(LogLevels(), ", "))
	}
	if l.File.Enabled && strings.TrimSpace(l.File.Path) == "" {
		out.add("logging.file.path", "must name a file")
	}
	out.between("logging.file.max_size_mb", l.File.MaxSizeMB, 1, 10240)
	out.between("logging.file.backup_count", l.File.BackupCount, 1, 1000)
}
