namespace Millrace;

/// <summary>
/// Tells code that a handler calls which message is being handled, without passing the context down to it. Register it as a singleton to have it; every
/// handler of single messages then costs some 150 bytes more. Without it nothing is kept.
/// </summary>
public sealed class MessageContextAccessor
{
    private readonly AsyncLocal<MessageContext?> _current = new();

    /// <summary>
    /// The context of the handler that runs this code, or <see langword="null"/>: none does, or it is a batch handler. Work that a handler leaves
    /// running when it returns still sees its context.
    /// </summary>
    public MessageContext? Current => _current.Value;

    internal void Set(MessageContext context) => _current.Value = context;
}
