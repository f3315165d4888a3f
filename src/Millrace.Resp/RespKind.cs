namespace Millrace.Resp;

/// <summary>The type of a RESP element. The value of each member is its first byte on the wire.</summary>
public enum RespKind : byte
{
    /// <summary>No element was read.</summary>
    None = 0,

    /// <summary>A short text without CR and LF.</summary>
    SimpleString = (byte)'+',

    /// <summary>An error without CR and LF; its first word is the error code.</summary>
    Error = (byte)'-',

    /// <summary>A signed 64-bit number.</summary>
    Integer = (byte)':',

    /// <summary>Any bytes, or RESP2's null when the length is -1.</summary>
    BulkString = (byte)'$',

    /// <summary>Elements in order, or RESP2's null array when the count is -1.</summary>
    Array = (byte)'*',

    /// <summary>RESP3's null.</summary>
    Null = (byte)'_',

    /// <summary>True or false. RESP3.</summary>
    Boolean = (byte)'#',

    /// <summary>A floating point number as text, with <c>inf</c>, <c>-inf</c> and <c>nan</c>. RESP3.</summary>
    Double = (byte)',',

    /// <summary>An integer of any length. RESP3.</summary>
    BigNumber = (byte)'(',

    /// <summary>An error of any bytes. RESP3.</summary>
    BulkError = (byte)'!',

    /// <summary>A text behind a three-letter format and a colon. RESP3.</summary>
    VerbatimString = (byte)'=',

    /// <summary>Key and value pairs. RESP3.</summary>
    Map = (byte)'%',

    /// <summary>Elements without order. RESP3.</summary>
    Set = (byte)'~',

    /// <summary>Data the server sends unasked; never a reply. RESP3.</summary>
    Push = (byte)'>',

    /// <summary>Pairs about the element that follows. RESP3; readers skip it.</summary>
    Attribute = (byte)'|',
}
