namespace Millrace.Embedded.Storage;

/// <summary>Makes the exceptions of the runtime's file calls those of a device: an <see cref="IOException"/>, or "full".</summary>
internal static class DiskErrors
{
    // The runtime keeps errno in HResult on Unix, and the Win32 error in its low half on Windows.
    private const int NoSpaceUnix = 28;
    private const int FileTooLarge = 27;
    private const int QuotaExceededLinux = 122;
    private const int QuotaExceededMacOS = 69;
    private const int HandleDiskFullWindows = unchecked((int)0x80070027);
    private const int DiskFullWindows = unchecked((int)0x80070070);

    /// <summary>
    /// Whether it came from the operating system. Arguments are among them: so the runtime reports a write above the limit of a file's size.
    /// </summary>
    public static bool IsOfDevice(Exception exception) =>
        exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException;

    public static IOException Translate(Exception exception) =>
        IsFull(exception) ? new StorageFullException(exception.Message, exception)
        : exception as IOException ?? new IOException(exception.Message, exception);

    public static TResult Run<TArguments, TResult>(TArguments arguments, Func<TArguments, TResult> call)
    {
        try
        {
            return call(arguments);
        }
        catch (Exception exception) when (IsOfDevice(exception))
        {
            throw Translate(exception);
        }
    }

    public static void Run<TArguments>(TArguments arguments, Action<TArguments> call) => Run((arguments, call), static what =>
    {
        what.call(what.arguments);
        return true;
    });

    private static bool IsFull(Exception exception)
    {
        if (OperatingSystem.IsWindows())
            return exception.HResult is DiskFullWindows or HandleDiskFullWindows;
        var error = exception.InnerException is IOException inner ? inner.HResult : exception.HResult;
        return exception is ArgumentOutOfRangeException || error is NoSpaceUnix or FileTooLarge
            || error == (OperatingSystem.IsMacOS() ? QuotaExceededMacOS : QuotaExceededLinux);
    }
}
