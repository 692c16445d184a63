package privacy

import "crypto/sha256"

// Check digits, over digits as characters.

// luhn is ISO/IEC 7812-1, annex B; a number of zeros is none.
func luhn(d []byte) bool {
	sum, zeros := 0, true
	for i := range d {
		v := int(d[len(d)-1-i] - '0')
		zeros = zeros && v == 0
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return !zeros && sum%10 == 0
}

// weighted is the sum of digits times their weights.
func weighted(d []byte, weights ...int) int {
	sum := 0
	for i, w := range weights {
		sum += w * int(d[i]-'0')
	}
	return sum
}

// value is the number that digits are.
func value(d []byte) int {
	v := 0
	for _, c := range d {
		v = 10*v + int(c-'0')
	}
	return v
}

// mod97 is ISO 7064, MOD 97-10, over letters and digits; a letter is a number from 10 on.
func mod97(text []byte) int {
	rest := 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			rest = (10*rest + int(c-'0')) % 97
		default:
			rest = (100*rest + int(lower(c)-'a') + 10) % 97
		}
	}
	return rest
}

// verhoeff is J. Verhoeff's check over the dihedral group D5 (1969).
func verhoeff(d []byte) bool {
	const multiply = "0123456789123406789523401789563401289567401239567859876043216598710432765982104387659321049876543210"
	const permute = "01234567891576283094580379614289160435279453126870428657390127938064157046913258"
	c := byte(0)
	for i := range d {
		p := permute[10*(i%8)+int(d[len(d)-1-i]-'0')] - '0'
		c = multiply[10*int(c)+int(p)] - '0'
	}
	return c == 0
}

// iso7064 is ISO 7064, MOD 11,10.
func iso7064(d []byte) bool {
	rest := 10
	for _, c := range d[:len(d)-1] {
		sum := (int(c-'0') + rest) % 10
		if sum == 0 {
			sum = 10
		}
		rest = sum * 2 % 11
	}
	return (11-rest)%10 == int(d[len(d)-1]-'0')
}

// base58 decodes what Bitcoin writes its addresses in, and proves the four bytes of its checksum.
func base58(text []byte) bool {
	const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	var index [128]int8
	for i := range index {
		index[i] = -1
	}
	for i := range len(alphabet) {
		index[alphabet[i]] = int8(i)
	}
	var raw [25]byte
	for _, c := range text {
		if c >= 128 || index[c] < 0 {
			return false
		}
		carry := int(index[c])
		for i := len(raw) - 1; i >= 0; i-- {
			carry += 58 * int(raw[i])
			raw[i] = byte(carry)
			carry >>= 8
		}
		if carry > 0 {
			return false
		}
	}
	once := sha256.Sum256(raw[:21])
	twice := sha256.Sum256(once[:])
	return string(twice[:4]) == string(raw[21:])
}

// bech32 proves the checksum of BIP 173, or of BIP 350, of an address in small letters; at is where its 1 stands.
func bech32(text []byte, at int) bool {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	sum := uint32(1)
	step := func(v byte) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(v)
		for i, g := range [...]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for _, c := range text[:at] {
		step(c >> 5)
	}
	step(0)
	for _, c := range text[:at] {
		step(c & 31)
	}
	for _, c := range text[at+1:] {
		v := -1
		for i := range len(alphabet) {
			if alphabet[i] == c {
				v = i
			}
		}
		if v < 0 {
			return false
		}
		step(byte(v))
	}
	return sum == 1 || sum == 0x2bc830a3
}
