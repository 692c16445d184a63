package configs

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Dollars is an amount of money in micro-dollars. A file has it in dollars with up to six decimals, read exactly. As a
// limit 0 means that there is none, which a file says with the word none.
type Dollars int64

// NoLimit is the limit that a file calls none.
const NoLimit Dollars = 0

// maxDollars keeps sums of limits far from overflow.
const maxDollars = 1_000_000_000

var dollarsForm = regexp.MustCompile(`^[0-9]{1,10}(\.[0-9]{1,6}0*)?$`)

// MicroUSD is the amount in micro-dollars.
func (d Dollars) MicroUSD() int64 { return int64(d) }

// String is the amount as a person writes it, such as 12.50, or none.
func (d Dollars) String() string {
	if d == NoLimit {
		return "none"
	}
	text := fmt.Sprintf("%d.%06d", int64(d)/1e6, max(int64(d), -int64(d))%1e6)
	short := strings.TrimRight(text, "0")
	if whole, cents, _ := strings.Cut(short, "."); len(cents) < 2 {
		return whole + "." + (cents + "00")[:2]
	}
	return short
}

// MarshalText writes the amount as String does.
func (d Dollars) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ParseDollars reads an amount as a file has it.
func ParseDollars(text string) (Dollars, error) {
	var d Dollars
	err := d.fromText(text)
	return d, err
}

func (d *Dollars) fromText(text string) error {
	if text == "none" {
		*d = NoLimit
		return nil
	}
	if !dollarsForm.MatchString(text) {
		return errors.New("must be dollars, such as 10 or 0.25, with at most six decimals, or none")
	}
	whole, decimals, _ := strings.Cut(text, ".")
	dollars, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || dollars > maxDollars {
		return fmt.Errorf("must be at most %d dollars", maxDollars)
	}
	micro, err := strconv.ParseInt((decimals + "000000")[:6], 10, 64)
	if err != nil {
		return errors.New("must be dollars")
	}
	if dollars == maxDollars && micro > 0 {
		return fmt.Errorf("must be at most %d dollars", maxDollars)
	}
	if dollars == 0 && micro == 0 {
		return errors.New("must be above 0; write none for no limit")
	}
	*d = Dollars(dollars*1e6 + micro)
	return nil
}
