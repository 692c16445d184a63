package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"

	"flowgate/configs"
)

// logger writes JSON lines to standard error: warnings, and with -v everything. It is that of short commands.
func (g *globals) logger() *zap.Logger {
	s := configs.Default().Logging
	return zap.New(zapcore.NewCore(logEncoder(), zapcore.Lock(os.Stderr), logLevel(s, g.verbose)))
}

// openLog makes the logger of a process that serves: JSON lines to the console and to a file, as settings say. The path of the
// file is in dir unless it is absolute. What it returns besides closes the file.
func openLog(s configs.Logging, dir string, verbose bool, console io.Writer) (*zap.Logger, func() error, error) {
	var cores []zapcore.Core
	done := func() error { return nil }
	if s.Console.Enabled {
		cores = append(cores, zapcore.NewCore(logEncoder(), zapcore.Lock(zapcore.AddSync(console)), logLevel(s, verbose)))
	}
	if s.File.Enabled {
		path := s.File.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		file := &lumberjack.Logger{Filename: path, MaxSize: s.File.MaxSizeMB, MaxBackups: s.File.BackupCount}
		if _, err := file.Write(nil); err != nil { // it opens the file at its first line, which is too late to refuse
			return nil, nil, fmt.Errorf("opening the log (setting logging.file.path): %w", err)
		}
		cores = append(cores, zapcore.NewCore(logEncoder(), zapcore.AddSync(file), logLevel(s, verbose)))
		done = file.Close
	}
	return zap.New(zapcore.NewTee(cores...)), done, nil
}

func logEncoder() zapcore.Encoder {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zapcore.NewJSONEncoder(encoder)
}

// logLevel is the least level that is logged.
func logLevel(s configs.Logging, verbose bool) zapcore.Level {
	if verbose {
		return zapcore.DebugLevel
	}
	switch strings.ToUpper(s.Level) {
	case "DEBUG":
		return zapcore.DebugLevel
	case "INFO":
		return zapcore.InfoLevel
	case "ERROR":
		return zapcore.ErrorLevel
	case "CRITICAL":
		return zapcore.DPanicLevel
	}
	return zapcore.WarnLevel
}
