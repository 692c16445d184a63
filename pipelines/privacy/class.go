package privacy

import "slices"

// Class is a class of data, which rules speak of.
type Class string

// The classes.
const (
	ClassPayment  Class = "payment"  // cards and accounts
	ClassIdentity Class = "identity" // national numbers of persons
	ClassContact  Class = "contact"  // e-mail addresses and telephone numbers
	ClassNetwork  Class = "network"  // addresses of machines
	ClassSecret   Class = "secret"   // keys, tokens and passwords
)

// Classes lists the classes.
func Classes() []Class {
	return []Class{ClassPayment, ClassIdentity, ClassContact, ClassNetwork, ClassSecret}
}

// byClass has the types of every class.
func byClass() map[Class][]Type {
	return map[Class][]Type{
		ClassPayment: {TypeCard, TypeIBAN, TypeRouting, TypeCrypto},
		ClassContact: {TypeEmail, TypePhone},
		ClassNetwork: {TypeIP, TypeMAC},
		ClassIdentity: {
			TypeSSN, TypeBE, TypeBR, TypeCA, TypeCH, TypeCN, TypeDE, TypeDK, TypeES, TypeFI, TypeFR, TypeUK, TypeNI, TypeAa, TypePAN, TypeIT,
			TypeKR, TypeNL, TypeNO, TypePL, TypeSE, TypeSG, TypeTFN, TypeMED,
		},
		ClassSecret: {
			TypeURLCredentials, TypeAWSKey, TypeAWSSecret, TypeAnthropic, TypeOpenAI, TypeGoogle, TypeGitHub, TypeGitLab, TypeSlack, TypeStripe,
			TypeHugging, TypeToken, TypeJWT, TypePrivateKey, TypePassword, TypeSecret,
		},
	}
}

// Types lists the types, class by class.
func Types() []Type {
	var all []Type
	types := byClass()
	for _, c := range Classes() {
		all = append(all, types[c]...)
	}
	return all
}

// Class is the class of a type.
func (t Type) Class() Class {
	for c, types := range byClass() {
		if slices.Contains(types, t) {
			return c
		}
	}
	return ClassIdentity
}

// label is what a type is called in a placeholder: short words, which models keep better than long ones.
func (t Type) label() string {
	short := map[Type]string{
		TypeEmail: "EMAIL", TypeCard: "CARD", TypePhone: "PHONE", TypeIP: "IP", TypeMAC: "MAC", TypeIBAN: "IBAN", TypeSSN: "SSN",
	}
	if label, has := short[t]; has {
		return label
	}
	return string(t)
}
