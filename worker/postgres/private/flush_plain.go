//go:build unix && !linux

package private

import "errors"

// canFlush is false: initdb syncs file by file.
const canFlush = false

func flush(string) error { return errors.ErrUnsupported }
