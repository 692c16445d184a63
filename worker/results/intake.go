package results

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.uber.org/zap"

	"flowgate/messages"
)

// intake answers whether submissions are taken; what it says is known already.
func (s *server) intake(req micro.Request) {
	subject := req.Subject()
	class, err := messages.ParseClass(subject[strings.LastIndexByte(subject, '.')+1:])
	if err != nil {
		err = req.Error("400", "the last token must be rt, std or batch", nil)
	} else {
		now := messages.Intake{V: messages.Version, Open: true}
		if s.opts.Intake != nil {
			now = s.opts.Intake(class)
		}
		err = req.RespondJSON(now)
	}
	if err != nil {
		s.opts.Logger.Debug("answering for the intake", zap.Error(err))
	}
}

// intakePatience bounds the question: who does not answer keeps nobody from submitting.
const intakePatience = 2 * time.Second

// Intake asks whether submissions of a class are taken. Where nobody answers in time there is an error, and no reason not to
// submit: the broker has the last word.
func Intake(ctx context.Context, conn *nats.Conn, tenant string, class messages.Class) (messages.Intake, error) {
	ctx, cancel := context.WithTimeout(ctx, intakePatience)
	defer cancel()
	msg, err := conn.RequestWithContext(ctx, messages.GetIntakeSubject(tenant, class), nil)
	if err != nil {
		return messages.Intake{}, fmt.Errorf("asking whether submissions are taken: %w", err)
	}
	if code := msg.Header.Get(micro.ErrorCodeHeader); code != "" {
		return messages.Intake{}, fmt.Errorf("asking whether submissions are taken: %s (%s)", msg.Header.Get(micro.ErrorHeader), code)
	}
	var now messages.Intake
	if err := json.Unmarshal(msg.Data, &now); err != nil || now.V < 1 {
		return messages.Intake{}, fmt.Errorf("%w: undecodable answer", ErrService)
	}
	return now, nil
}
