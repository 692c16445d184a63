package broker

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// serverLog hands the server's warnings and errors to zap, without what clients wrote, and keeps what would have ended a server of its own process.
type serverLog struct {
	log *zap.Logger

	mu   sync.Mutex
	dead error
}

var _ server.Logger = (*serverLog)(nil)

func newServerLog(log *zap.Logger) *serverLog {
	if log == nil {
		log = zap.NewNop()
	}
	return &serverLog{log: log.Named("nats")}
}

// fatal is the last line that the server meant to die of.
func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

// plaintext is no fault here: the operator's password is random, made anew at every start and in no configuration file.
const plaintext = "Plaintext passwords detected"

func (l *serverLog) Warnf(format string, v ...any) {
	if !strings.HasPrefix(format, plaintext) {
		l.log.Warn(line(format, v))
	}
}

func (l *serverLog) Errorf(format string, v ...any) { l.log.Error(line(format, v)) }

func (l *serverLog) Fatalf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.log.Error(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = errors.New(line)
}
