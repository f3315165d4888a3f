namespace Millrace;

/// <summary>
/// What becomes of an entry that no handler could ever get: its type or version is unknown, or its data cannot be read as the message.
/// </summary>
public enum UndecodablePolicy
{
    /// <summary>It goes to the dead letters as it is, every byte kept, with the reason (<see cref="DeadLetterReasons"/>).</summary>
    DeadLetter,

    /// <summary>It is acknowledged unread, logged and counted (<c>millrace.ignored</c>).</summary>
    Ignore,

    /// <summary>
    /// The group stops reading in this process and begins no other message; the entry stays pending here and is handed back, uncounted, when
    /// the process stops. The health check says which entry it was. A process that can read it, such as this one after an update, goes on.
    /// </summary>
    Stop,
}
