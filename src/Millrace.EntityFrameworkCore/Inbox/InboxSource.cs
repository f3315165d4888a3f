namespace Millrace.EntityFrameworkCore;

/// <summary>One inbox of this process: whose it is, and how long it remembers.</summary>
internal sealed class InboxSource(Type contextType)
{
    public Type ContextType { get; } = contextType;

    public InboxOptions Options { get; } = new();
}
