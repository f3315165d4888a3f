namespace Millrace.Tests.DeadLetters;

/// <summary>Says more than anybody keeps, in message and trace.</summary>
public sealed class LoudException(char character, Exception? inner = null) : Exception("", inner)
{
    public override string Message => new(character, 100_000);

    public override string StackTrace => Message;
}
