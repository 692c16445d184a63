package configs

// Logging is the user's section of that name.
type Logging struct {
	Level   string     `yaml:"level"`
	File    LogFile    `yaml:"file"`
	Console LogConsole `yaml:"console"`
}

// LogFile is a log that is kept in files of limited size.
type LogFile struct {
	Enabled     bool   `yaml:"enabled"`
	Path        string `yaml:"path"`
	MaxSizeMB   int    `yaml:"max_size_mb"`
	BackupCount int    `yaml:"backup_count"`
}

// LogConsole is the log on the terminal.
type LogConsole struct {
	Enabled bool `yaml:"enabled"`
}
