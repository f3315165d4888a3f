using System.Text;
using System.Text.Json;

namespace Millrace.Tests.DeadLetters;

public sealed class CauseTests
{
    [Fact]
    public void Fingerprint_is_the_same_for_the_same_place_and_other_texts()
    {
        var first = Cause.Fingerprint("attempts exhausted", Thrown("order 17"));
        var second = Cause.Fingerprint("attempts exhausted", Thrown("order 18"));

        Assert.Matches("^[0-9a-f]{16}$", first);
        Assert.Equal(first, second);
    }

    [Fact]
    public void Fingerprint_differs_by_reason_type_inner_type_and_place()
    {
        string[] prints =
        [
            Cause.Fingerprint("a", null),
            Cause.Fingerprint("b", null),
            Cause.Fingerprint("a", new InvalidOperationException()),
            Cause.Fingerprint("a", new FormatException()),
            Cause.Fingerprint("a", new FormatException("", new TimeoutException())),
            Cause.Fingerprint("a", Thrown("x")),
            Cause.Fingerprint("a", ThrownElsewhere("x")),
        ];

        Assert.Equal(prints.Length, prints.Distinct().Count());
    }

    [Fact]
    public void Fingerprint_takes_numbers_in_a_reason_as_one() =>
        Assert.Equal(Cause.Fingerprint("order 9 has no lines", null), Cause.Fingerprint("order 1234 has no lines", null));

    [Fact]
    public void Exceptions_are_written_outermost_first_and_those_of_an_aggregate_too()
    {
        var exception = new InvalidOperationException("out", new AggregateException(new FormatException("f"), new TimeoutException("t")));

        using var written = JsonDocument.Parse(Cause.WriteExceptions(exception).ToArray());

        Assert.Equal(
            ["InvalidOperationException", "AggregateException", "FormatException", "TimeoutException"],
            written.RootElement.EnumerateArray().Select(item => item.GetProperty("type").GetString()![7..]));
    }

    [Fact]
    public void Exceptions_are_bounded_whatever_they_say()
    {
        Exception exception = new FormatException(new string('\u0001', 100_000));
        for (var i = 0; i < 100; i++)
            exception = new InvalidOperationException($"{new string('x', 511)}\U0001F600{new string('\u0001', 100_000)}", exception);

        var written = Cause.WriteExceptions(exception);

        Assert.InRange(written.Length, 1, 20 * 1024);
        using var document = JsonDocument.Parse(Encoding.UTF8.GetString(written));
        Assert.Equal(5, document.RootElement.GetArrayLength());
    }

    private static InvalidOperationException Thrown(string message)
    {
        try
        {
            throw new InvalidOperationException(message);
        }
        catch (InvalidOperationException exception)
        {
            return exception;
        }
    }

    private static InvalidOperationException ThrownElsewhere(string message)
    {
        try
        {
            throw new InvalidOperationException(message);
        }
        catch (InvalidOperationException exception)
        {
            return exception;
        }
    }
}
