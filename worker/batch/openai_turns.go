package batch

import (
	"encoding/json"
	"fmt"
	"strings"

	"flowgate/messages"
)

const roleUser = "user"

// conversation converts the messages.
func conversation(raw json.RawMessage) (json.RawMessage, error) {
	turns, err := array(raw, paramMessages, "messages", messages.MaxMessages)
	if err != nil {
		return nil, err
	}
	converted := make([]messages.Message, len(turns))
	for i, raw := range turns {
		if converted[i], err = turn(raw, fmt.Sprintf("%s[%d]", paramMessages, i)); err != nil {
			return nil, err
		}
	}
	return encode(converted)
}

// turn converts one message. What an answer repeats of its own with null, refusal, is nothing.
func turn(raw json.RawMessage, where string) (m messages.Message, err error) {
	members, err := inner(raw, where)
	if err != nil {
		return m, err
	}
	if isNull(members["refusal"]) {
		delete(members, "refusal")
	}
	if err := only(members, where+".", "role", "content", memberName, "tool_calls", "tool_call_id"); err != nil {
		return m, err
	}
	if m.Role, err = text(members["role"], where+".role"); err != nil {
		return m, err
	}
	for name, into := range map[string]*string{memberName: &m.Name, "tool_call_id": &m.ToolCallID} {
		if isNull(members[name]) {
			continue
		}
		if *into, err = text(members[name], where+"."+name); err != nil {
			return m, err
		}
	}
	if m.ToolCalls, err = toolCalls(members["tool_calls"], where+".tool_calls"); err != nil {
		return m, err
	}
	if isNull(members["content"]) && len(m.ToolCalls) > 0 {
		return m, nil
	}
	m.Content, m.Images, err = content(members["content"], where+".content", m.Role == roleUser)
	return m, err
}

// toolCalls converts what an assistant asked of tools.
func toolCalls(raw json.RawMessage, where string) ([]messages.ToolCall, error) {
	if isNull(raw) {
		return nil, nil
	}
	all, err := array(raw, where, "tool calls", messages.MaxToolCalls)
	if err != nil {
		return nil, err
	}
	calls := make([]messages.ToolCall, len(all))
	for i, raw := range all {
		at := fmt.Sprintf("%s[%d]", where, i)
		members, err := inner(raw, at)
		if err != nil {
			return nil, err
		}
		if calls[i].ID, err = text(members["id"], at+".id"); err != nil {
			return nil, err
		}
		delete(members, "id")
		rest, err := encode(members)
		if err != nil {
			return nil, err
		}
		function, err := functionOf(rest, at, memberName, "arguments")
		if err != nil {
			return nil, err
		}
		at += "." + memberFunction + "."
		if calls[i].Name, err = text(function[memberName], at+memberName); err != nil {
			return nil, err
		}
		if calls[i].Arguments, err = text(function["arguments"], at+"arguments"); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// content converts a string, or an array of parts: texts, which are joined in order, and a user's images.
func content(raw json.RawMessage, field string, images bool) (string, []messages.Image, error) {
	if shape(raw) == "string" {
		s, err := text(raw, field)
		return s, nil, err
	}
	var parts []json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &parts) != nil {
		return "", nil, &messages.FieldError{Field: field, Rule: "must be a string or an array of parts", Got: shape(raw)}
	}
	var joined strings.Builder
	var pictures []messages.Image
	behind := false // the newest part is text behind an image
	for i, part := range parts {
		where := fmt.Sprintf("%s[%d]", field, i)
		members, err := inner(part, where)
		if err != nil {
			return "", nil, err
		}
		kind, err := text(members[memberType], where+"."+memberType)
		switch {
		case err != nil:
			return "", nil, err
		case kind == memberText:
			s, err := textPart(members, where)
			if err != nil {
				return "", nil, err
			}
			joined.WriteString(s)
			behind = len(pictures) > 0
		case kind == memberImage && images && behind:
			return "", nil, &messages.FieldError{Field: where, Rule: "must stand beside the other images: their places among texts are not kept"}
		case kind == memberImage && images:
			image, err := imagePart(members, where)
			if err != nil {
				return "", nil, err
			}
			pictures = append(pictures, image)
		default:
			rule := "must be " + memberText
			if images {
				rule += " or " + memberImage
			}
			return "", nil, &messages.FieldError{Field: where + "." + memberType, Rule: rule, Got: clip(kind)}
		}
	}
	return joined.String(), pictures, nil
}

func textPart(members map[string]json.RawMessage, where string) (string, error) {
	if err := only(members, where+".", memberType, memberText); err != nil {
		return "", err
	}
	return text(members[memberText], where+"."+memberText)
}

const memberImage = "image_url"

// imagePart converts an image: inline as a data: URL, or where the provider finds it.
func imagePart(members map[string]json.RawMessage, where string) (messages.Image, error) {
	var image messages.Image
	if err := only(members, where+".", memberType, memberImage); err != nil {
		return image, err
	}
	where += "." + memberImage
	source, err := inner(members[memberImage], where)
	if err != nil {
		return image, err
	}
	if err := only(source, where+".", "url", "detail"); err != nil {
		return image, err
	}
	if d := source["detail"]; !isNull(d) {
		if err := exactly(d, where+".detail", "auto"); err != nil {
			return image, err
		}
	}
	url, err := text(source["url"], where+".url")
	if err != nil {
		return image, err
	}
	if !strings.HasPrefix(url, "data:") {
		image.URL = url
		return image, nil
	}
	media, data, inline := strings.Cut(strings.TrimPrefix(url, "data:"), ";base64,")
	if !inline {
		return image, &messages.FieldError{Field: where + ".url", Rule: "must be https, or data:<media type>;base64,<image>"}
	}
	return messages.Image{MediaType: media, Data: data}, nil
}
