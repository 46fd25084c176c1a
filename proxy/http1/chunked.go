package http1

// The chunked transfer coding, as it is read.

// maxChunkExtension is how many bytes of extensions a chunk's size line may have: nobody uses them, and somebody could
// send them for ever.
const maxChunkExtension = 256

type chunkState byte

const (
	chunkStart   chunkState = iota // before the first digit of a size
	chunkSize                      // in the size
	chunkExt                       // in the extensions
	chunkSizeLF                    // after the CR of the size line
	chunkData                      // in the data
	chunkDataCR                    // after the data
	chunkDataLF                    // after the CR that follows the data
	chunkLast                      // after the line of the last chunk
	chunkLastLF                    // after the CR of the empty line
	chunkTrailer                   // before a trailer section that is not empty
	chunkEnd                       // after everything
)

// chunks follows the chunked transfer coding (RFC 9112, section 7.1), byte by byte if need be.
type chunks struct {
	state chunkState
	left  uint64 // of the size while it is read, then of the data
	count int    // digits of the size, then bytes of the extensions
}

// next consumes one run of framing or of data from the start of p, which must not be empty.
func (c *chunks) next(p []byte) (n int, data bool, err error) {
	if c.state == chunkData {
		n = int(min(uint64(len(p)), c.left))
		if c.left -= uint64(n); c.left == 0 {
			c.state = chunkDataCR
		}
		return n, true, nil
	}
	for n < len(p) && c.state != chunkData && c.state < chunkTrailer {
		if err := c.step(p[n]); err != nil {
			return n, false, err
		}
		if c.state == chunkTrailer {
			return n, false, nil // p[n] belongs to the trailer section
		}
		n++
	}
	return n, false, nil
}

// step takes one byte of framing.
func (c *chunks) step(b byte) error {
	switch c.state {
	case chunkStart, chunkSize:
		if class[b]&hexByte != 0 {
			if c.count++; c.count > 15 {
				return Malformed("a chunk size of more than 15 digits")
			}
			c.left = c.left<<4 | uint64(hexValue(b))
			c.state = chunkSize
			return nil
		}
		switch {
		case c.state == chunkStart:
			return Malformed("a chunk size that does not begin with a hexadecimal digit")
		case b == '\r':
			c.state = chunkSizeLF
		case b == ';':
			c.state, c.count = chunkExt, 0
		default:
			return Malformed("a chunk size that is not hexadecimal digits")
		}
	case chunkExt:
		c.count++
		switch {
		case b == '\r':
			c.state = chunkSizeLF
		case class[b]&valueByte == 0:
			return Malformed("a control byte in a chunk extension")
		case c.count > maxChunkExtension:
			return Malformed("chunk extensions that are too long")
		}
	case chunkSizeLF:
		if b != '\n' {
			return Malformed("a chunk size line that does not end in CRLF")
		}
		c.count = 0
		if c.state = chunkData; c.left == 0 {
			c.state = chunkLast
		}
	case chunkDataCR:
		if b != '\r' {
			return Malformed("chunk data that is longer than its size")
		}
		c.state = chunkDataLF
	case chunkDataLF:
		if b != '\n' {
			return Malformed("chunk data that does not end in CRLF")
		}
		c.state = chunkStart
	case chunkLast:
		if c.state = chunkTrailer; b == '\r' {
			c.state = chunkLastLF
		}
	case chunkLastLF:
		if b != '\n' {
			return Malformed("a chunked body that does not end in CRLF")
		}
		c.state = chunkEnd
	}
	return nil
}

func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
